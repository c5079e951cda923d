"""Sends one call, retries it where that may help, and returns its answer or failure as an `Outcome`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from app.batch.calls import Call
from app.batch.results import Outcome
from app.errors import ServiceFailed

_TRIES = 8  # attempts while the service is unreachable or overloaded; with the waits below about three minutes
_LONGEST_WAIT = 60.0
_ONCE_MORE = frozenset({424, 500, 502, 504})  # the call itself may be the cause: one retry
_NO_ROOM = frozenset({408, 429, 503})
_NO_RIGHT = frozenset({401, 403})
_FATAL_KINDS = frozenset({"engine_dead"})


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends calls to a service. `seconds` is the timeout of one call; None sets no limit."""

    client: httpx2.AsyncClient
    seconds: float | None = None

    async def ask(self, call: Call) -> Outcome:
        """Returns the answer, or the failure of this one call. Raises ServiceFailed when the service would answer no
        call."""
        content = orjson.dumps(call.body)
        reason = "nothing"
        for attempt in range(_TRIES):
            try:
                response = await self._post(call, content)
            except (httpx2.ReadTimeout, httpx2.WriteTimeout):
                reason = "no answer in time"
                if attempt:
                    return Outcome(0, None, ("timeout", f"There was no answer within {self.seconds:g} seconds, twice."))
                continue
            except httpx2.HTTPError as error:
                reason = str(error) or type(error).__name__
                await asyncio.sleep(2.0**attempt)
                continue
            outcome = _outcome(response)
            reason = outcome.error[1] if outcome.error else ""
            if outcome.error and (outcome.status in _NO_RIGHT or outcome.error[0] in _FATAL_KINDS):
                raise ServiceFailed(f"The service answers no call: {reason}")
            if outcome.status in _NO_ROOM:
                await asyncio.sleep(_wait(response, attempt))
            elif outcome.status not in _ONCE_MORE or attempt:
                return outcome
        raise ServiceFailed(
            f"The service did not take call {call.custom_id!r} in {_TRIES} tries ({reason}); what was answered is "
            "kept, and the same command goes on."
        )

    async def _post(self, call: Call, content: bytes) -> httpx2.Response:
        headers = {"content-type": "application/json", "x-request-id": call.id}
        if self.seconds is None:
            return await self.client.post(call.url, content=content, headers=headers)
        headers["x-request-timeout-ms"] = str(round(self.seconds * 1000))
        return await self.client.post(call.url, content=content, headers=headers, timeout=self.seconds + 30)


def _outcome(response: httpx2.Response) -> Outcome:
    try:
        body: Any = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        sentence = f"The answer with status {response.status_code} is no JSON; is the address that of limrank-serve?"
        return Outcome(response.status_code, None, ("no_json", sentence))
    if response.status_code == 200:
        return Outcome(200, body)
    return Outcome(response.status_code, body, _reason(body, response.status_code))


def _reason(body: Any, status: int) -> tuple[str, str]:
    """Error code and message from an error body in any of the service's shapes."""
    if not isinstance(body, dict):
        return f"status_{status}", f"The service answered with status {status}."
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("code") or f"status_{status}"), str(error.get("message") or body)
    return str(body.get("error_type") or f"status_{status}").lower(), str(error or body.get("message") or body)


def _wait(response: httpx2.Response, attempt: int) -> float:
    try:
        wanted = float(response.headers.get("retry-after", ""))
    except ValueError:
        wanted = 2.0**attempt
    if math.isnan(wanted):
        wanted = 0.0
    return min(max(wanted, 0.5 * 2.0**attempt), _LONGEST_WAIT)
