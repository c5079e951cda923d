"""A stream that is refused half way: whatever the error, its last event says what the ordinary answer would."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Scope

from contract.reasoning import Status
from service.api.context import RequestContext, new_request_context
from service.api.error_responses import error_response
from service.api.streams.answer import StreamedAnswer, streamed
from service.api.streams.framing import FRAMINGS, NDJSON, Framing
from service.errors import (
    BodyTooLarge,
    CallCut,
    ClientLeft,
    DeadlineExceeded,
    EngineDead,
    EngineFailed,
    PassageTooLong,
    TooManyRequests,
    Unavailable,
)
from service.ranking import Listener, Ranked, Ranking
from service.wire import cohere
from tests.service.api.streams.reading import Named, events_of, lines_of

WIRE = cohere.read({"query": "q", "documents": ["a", "b"]}, "/rerank")
FIRST = Ranked(index=1, log_odds=0.0, relevance=0.5, status=Status.COMPLETE, reasoning=None)
ERRORS = [
    Unavailable("The queue is full.", reason="queue_full", retry_after=3.2),
    Unavailable("It would be late.", reason="deadline"),
    CallCut(),
    EngineDead("The engine has died."),
    EngineFailed("The engine failed on document 1.", (1,)),
    DeadlineExceeded("It was late."),
    PassageTooLong(1, 5),
    TooManyRequests("Too many.", retry_after=61.5),
    BodyTooLarge("Too many parts."),
    RuntimeError("a secret"),
]


def begun() -> tuple[Scope, RequestContext]:
    scope: Scope = {"type": "http"}
    context = new_request_context(scope, "the-id")
    context.shape = "cohere"
    return scope, context


async def streaming(
    framing: Framing, context: RequestContext, error: BaseException | None, told: int = 1
) -> StreamedAnswer:
    """A call that tells of so many documents and then fails; without an error it goes on for ever."""

    async def rank(listener: Listener) -> Ranking:
        for _ in range(told):
            listener.ranked(FIRST)
        await asyncio.sleep(0)
        if error is not None:
            raise error
        await asyncio.Event().wait()
        raise AssertionError

    return await streamed(WIRE, framing, context, rank, {})


async def sent_by(answer: StreamedAnswer, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    await answer(scope, receive, send)
    return sent


def read(framing: Framing, sent: list[Message]) -> list[Named]:
    start, *bodies = sent
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert [body.get("more_body", False) for body in bodies] == [True] * (len(bodies) - 1) + [False]
    text = b"".join(body["body"] for body in bodies).decode()
    return lines_of(text) if framing is NDJSON else events_of(text)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.media_type)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
async def test_the_last_event_says_what_the_ordinary_answer_would(framing: Framing, error: Exception) -> None:
    scope, context = begun()
    released: list[bool] = []
    answer = await streaming(framing, context, error)
    answer.sent = lambda: released.append(True)
    (first, document), (last, failure) = read(framing, await sent_by(answer, scope))
    assert (first, document["index"], last) == ("document", 1, "error")
    ordinary = error_response(error, scope)
    retry = ordinary.headers.get("retry-after")
    assert failure == {
        "event": "error",
        "status": ordinary.status_code,
        **json.loads(bytes(ordinary.body)),
        **({} if retry is None else {"retry_after": int(retry)}),
    }
    assert "secret" not in json.dumps(failure)
    assert context.error is not None
    assert (context.error.status, context.rankings, released) == (ordinary.status_code, {}, [True])


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
async def test_before_the_first_event_it_is_an_ordinary_error(error: Exception) -> None:
    _, context = begun()
    with pytest.raises(type(error)) as raised:
        await streaming(NDJSON, context, error, told=0)
    assert raised.value is error


async def test_nothing_is_said_to_a_client_that_has_left() -> None:
    scope, context = begun()
    sent = await sent_by(await streaming(NDJSON, context, ClientLeft("It left.")), scope)
    assert [name for name, _ in read(NDJSON, sent)] == ["document"]
    assert isinstance(context.error, ClientLeft)


async def test_an_answer_that_is_given_up_ends_its_call() -> None:
    scope, context = begun()
    released: list[bool] = []
    answer = await streaming(NDJSON, context, None)
    answer.sent = lambda: released.append(True)
    ranking: asyncio.Task[Any] = answer._ranking
    sending = asyncio.create_task(sent_by(answer, scope))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, ranking, return_exceptions=True)
    assert sending.cancelled()
    assert ranking.cancelled()
    assert released == [True]
