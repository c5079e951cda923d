"""Callers that hang up before they are answered, as browsers and impatient timeouts do."""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

import json
import time

import gevent
from locust import between, task

from loadtests.callers import Caller
from loadtests.scenarios.raw_socket import connect, request


class DisconnectingUser(Caller):
    """Sends a whole call and closes the connection a moment later, unread."""

    scenario = "disconnecting"
    wait_time = between(0.5, 2.0)

    @task
    def leave(self) -> None:
        body = json.dumps(self.texts.body(self.passages(20, 50))).encode()
        started, fault = time.perf_counter(), None
        try:
            with connect(self.host) as connection:
                connection.sendall(request(self.host, body, self.authorization))
                gevent.sleep(self.texts.seconds(0.05, 0.5))
            self.tally.left += 1
        except OSError as error:
            fault = error
            self.tally.failed += 1
        self.environment.events.request.fire(
            request_type="LEFT",
            name=self.scenario,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=0,
            exception=fault,
            context={},
        )
