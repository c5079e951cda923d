"""Sends one call, retries it where that may help, and returns its answer or failure as an `Outcome`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import orjson

from app.batch.calls import Call
from app.batch.results import Outcome
from app.connection import reason_of
from app.errors import ServiceFailed

_TRIES = 8  # attempts while the service is unreachable or overloaded; with the waits below about three minutes
_LONGEST_WAIT = 60.0
_ONCE_MORE = frozenset({424, 500, 502, 504})  # the call itself may be the cause: one retry
_NO_ROOM = frozenset({408, 429, 503})
_TOO_MANY = 429
_NO_RIGHT = frozenset({401, 403})
_FATAL_KINDS = frozenset({"engine_dead"})


@dataclass(slots=True)
class Asker:
    """Sends calls to a service. `seconds` is the timeout of one call; None sets no limit. `taken` counts the calls that
    the service has answered."""

    client: httpx2.AsyncClient
    seconds: float | None = None
    taken: int = 0

    async def ask(self, call: Call) -> Outcome:
        """Returns the answer, or the failure of this one call. A call beyond the key's rate waits while others are
        taken. Raises ServiceFailed when the service would answer no call."""
        content = orjson.dumps({**call.body, "stream": False} if call.body.get("stream") else call.body)
        outcome, refused, once_more, at_first = Outcome(0, None), 0, False, self.taken
        while refused < _TRIES:
            before = self.taken
            try:
                response = await self._post(call, content)
            except (httpx2.ReadTimeout, httpx2.WriteTimeout):
                if once_more:
                    return Outcome(0, None, ("timeout", f"There was no answer within {self.seconds:g} seconds, twice."))
                once_more = True
                continue
            except httpx2.HTTPError as error:
                outcome = Outcome(0, None, ("no_answer", f"There was no answer ({reason_of(error)})."))
                wait = 2.0**refused
            else:
                outcome = _checked(response)
                if outcome.status in _ONCE_MORE and not once_more:
                    once_more = True
                    continue
                if outcome.status not in _NO_ROOM:
                    self.taken += outcome.error is None
                    return outcome
                wait = _wait(response, refused)
            await asyncio.sleep(wait)
            refused = 1 if outcome.status == _TOO_MANY and self.taken > before else refused + 1
        if self.taken > at_first:  # it is this call that is not taken
            return outcome
        reason = outcome.error[1] if outcome.error else ""
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


def _checked(response: httpx2.Response) -> Outcome:
    """What a response says of its call. Raises ServiceFailed when it says that no call will be answered."""
    outcome = _outcome(response)
    if outcome.error and (outcome.status in _NO_RIGHT or outcome.error[0] in _FATAL_KINDS):
        raise ServiceFailed(f"The service answers no call: {outcome.error[1]}")
    return outcome


def _outcome(response: httpx2.Response) -> Outcome:
    try:
        body: Any = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        sentence = f"The answer with status {response.status_code} is no JSON; is the address that of limrank-serve?"
        return Outcome(response.status_code, None, ("no_json", sentence))
    if response.status_code == 200 and not isinstance(body, dict | list):
        return Outcome(200, None, ("no_ranking", "The answer is no ranking; is the address that of limrank-serve?"))
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
    stated = response.headers.get("retry-after", "")
    try:
        wanted = float(stated)
    except ValueError:
        wanted = _until(stated, 2.0**attempt)
    if math.isnan(wanted):
        wanted = 0.0
    return min(max(wanted, 0.5 * 2.0**attempt), _LONGEST_WAIT)


def _until(stated: str, otherwise: float) -> float:
    """Seconds until a moment as HTTP writes it, which `Retry-After` may hold instead of seconds."""
    try:
        moment = parsedate_to_datetime(stated)
    except (ValueError, OverflowError):
        return otherwise
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
