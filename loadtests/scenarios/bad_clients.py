"""Clients that are wrong or hostile: each must get its 4xx at once, and cost the others nothing."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

import time

from locust import between, task

from loadtests.callers import Caller
from loadtests.payloads import BAD_CALLS
from loadtests.scenarios.raw_socket import connect, request

_TOO_LONG = 2**40  # bytes that a body says it has


class BadClient(Caller):
    """Sends what no client should. A 5xx, or an answer that takes what is wrong, is a failure of the service."""

    scenario = "bad_clients"
    wait_time = between(0.2, 1.0)

    @task(5)
    def send_nonsense(self) -> None:
        bad = BAD_CALLS[self.texts.between(0, len(BAD_CALLS) - 1)]
        headers = {"Content-Type": "application/json", **self.authorization}
        with self.client.request(
            bad.method, bad.path, data=bad.body, headers=headers, name=f"bad: {bad.name}", catch_response=True
        ) as response:
            if response.status_code in bad.expected:
                response.success()
                self.tally.rejected_as_expected += 1
            else:
                response.failure(f"answered {response.status_code} where {bad.expected} was due")
                self.tally.failed += 1

    @task(1)
    def promise_a_huge_body(self) -> None:
        """A body that says it is a tebibyte is refused before it is sent."""
        self._raw("bad: a huge body", request(self.host, b"{", self.authorization, _TOO_LONG), b" 413 ")

    @task(1)
    def stop_half_way(self) -> None:
        """A body that breaks off: there is nobody to answer, and nothing may remain of it."""
        self._raw("bad: half a body", request(self.host, b'{"query": "', self.authorization, 100), None)

    def _raw(self, name: str, data: bytes, expected: bytes | None) -> None:
        started = time.perf_counter()
        fault: Exception | None = None
        try:
            with connect(self.host) as connection:
                connection.sendall(data)
                line = connection.recv(4096).partition(b"\r\n")[0] if expected else b""
            if expected is not None and expected not in line:
                fault = AssertionError(f"answered {line!r} where{expected.decode()}was due")
        except OSError as error:
            fault = error
        self.tally.failed += fault is not None
        self.tally.rejected_as_expected += fault is None
        self.environment.events.request.fire(
            request_type="RAW",
            name=name,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=0,
            exception=fault,
            context={},
        )
