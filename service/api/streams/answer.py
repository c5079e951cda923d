"""A streamed answer: begun with the first event of its call, ended with the ordinary answer or an `error` event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.context import RequestContext
from service.api.error_responses import as_service_error
from service.api.streams.feed import Feed, Told
from service.api.streams.framing import Framing
from service.errors import ClientLeft
from service.ranking import Listener, Ranking
from service.wire.cohere import CohereRequest
from service.wire.events import error_event, told_event, warning_event
from service.wire.shape import error_body

# nginx heeds the first; the second keeps proxies from storing the answer, and from compressing it, which buffers.
_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache, no-transform"}
_EVENTS_AT_ONCE = 256  # in one piece of the body

Rank = Callable[[Listener], Coroutine[Any, Any, Ranking]]


class StreamedAnswer(Response):
    """Sends what `feed` tells of the call that `ranking` ranks. `sent` is called once the answer has been sent or given
    up."""

    sent: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        wire: CohereRequest,
        framing: Framing,
        context: RequestContext,
        feed: Feed,
        ranking: asyncio.Task[Ranking],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(headers={**_HEADERS, **headers, "content-type": framing.content_type})
        del self.headers["content-length"]
        self._wire = wire
        self._framing = framing
        self._context = context
        self._feed = feed
        self._ranking = ranking

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while told := await self._feed.take():
                for begin in range(0, len(told), _EVENTS_AT_ONCE):
                    body = self._framed(told[begin : begin + _EVENTS_AT_ONCE])
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": await self._end(scope)})
        finally:
            self._ranking.cancel()
            self.sent()

    def _framed(self, told: Sequence[Told]) -> bytes:
        wire = self._wire
        events = (told_event(each, wire.call, return_documents=wire.return_documents) for each in told)
        return b"".join(map(self._framing.event, events))

    async def _end(self, scope: Scope) -> bytes:
        """The last events: warnings and the ordinary answer, or an error."""
        try:
            ranking = await self._ranking
        except ClientLeft as error:
            self._context.error = error
            return b""
        except Exception as error:  # noqa: BLE001 - the status is sent, so whatever it is becomes the last event
            known = as_service_error(error, scope)
            self._context.error = known
            status, body = error_body(known, self._context.shape, self._context.request_id)
            return self._framing.event(error_event(status, body, known.retry_after))
        self._context.timings, self._context.rankings = ranking.timings, {None: ranking}
        warnings = b"".join(self._framing.event(warning_event(warning)) for warning in ranking.warnings)
        return warnings + self._framing.last(self._wire.answer(ranking))


async def streamed(
    wire: CohereRequest, framing: Framing, context: RequestContext, rank: Rank, headers: Mapping[str, str]
) -> StreamedAnswer:
    """Has a call ranked and returns its answer once there is something to send. Raises what ended it before."""
    feed = Feed()
    ranking = asyncio.create_task(rank(feed))
    ranking.add_done_callback(lambda done: _ended(done, feed))
    try:
        if not await feed.begun():
            await ranking  # what it raises is an ordinary error
    except BaseException:
        ranking.cancel()
        raise
    return StreamedAnswer(wire, framing, context, feed, ranking, headers)


def _ended(ranking: asyncio.Task[Ranking], feed: Feed) -> None:
    if not ranking.cancelled():
        ranking.exception()  # so that nobody is told of one that nobody awaits: the client may be gone
    feed.close()
