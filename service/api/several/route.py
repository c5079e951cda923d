"""A route whose body holds several queries: reads it, ranks them while the client waits, and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import orjson
from starlette.requests import Request

from service.api.context import RequestContext
from service.api.disconnect import client_leaves
from service.api.routes import BodyRoute, SentAnswer, timeout_ms_of, timing_headers
from service.http.body_budget import BodyBudget, BodyHold
from service.ranking import RerankCall
from service.reranker import Member, Outcome, Reranker
from service.wire.shape import WireLimits


class Asked(Protocol):
    """A valid body: the calls that it comes to, by their places in it, and the answer to them."""

    @property
    def calls(self) -> Mapping[int | None, RerankCall]: ...

    def answer(self, outcomes: Sequence[Outcome], context: RequestContext) -> tuple[Any, Mapping[str, str]]:
        """Returns the body of the answer, ready for JSON, and header fields. May raise the error that all end with."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is particular to a route. `label` is its name in metrics; `prune` reads a body of very many values; `read`
    takes the body and the query string, and raises the errors of `service.errors`."""

    label: str
    prune: Callable[[bytes], Any]
    read: Callable[[dict[str, Any], bytes], Asked]


class SeveralRoute(BodyRoute):
    """Reads a request, ranks all that it asks, and answers."""

    def __init__(self, reranker: Reranker, limits: WireLimits, bodies: BodyBudget, form: Form) -> None:
        super().__init__(limits, bodies, form.prune)
        self._reranker = reranker
        self._form = form

    async def _answer(self, request: Request, context: RequestContext, hold: BodyHold) -> SentAnswer:
        asked, received = await self._read(request, context, hold)
        calls = list(context.calls.values())
        outcomes: Sequence[Outcome] = []
        if calls:
            outcomes = await self._reranker.rank_all(
                calls,
                key=context.caller,
                received=received,
                timeout_ms=timeout_ms_of(request.headers),
                client_leaves=partial(client_leaves, request.receive),
            )
        context.rankings = {
            place: outcome.ranking
            for place, outcome in zip(context.calls, outcomes, strict=True)
            if isinstance(outcome, Member)
        }
        body, told = asked.answer(outcomes, context)
        headers: Mapping[str, str] = {}
        if rankings := list(context.rankings.values()):
            context.received, context.timings = received, rankings[0].timings
            tokens = sum(ranking.prompt_tokens + ranking.reasoning_tokens for ranking in rankings)
            headers = timing_headers(rankings[0].timings, tokens, calls)
        return SentAnswer(orjson.dumps(body), headers={**headers, **told}, media_type="application/json")

    async def _read(self, request: Request, context: RequestContext, hold: BodyHold) -> tuple[Asked, float]:
        """Returns the body, and the instant of its last byte. Notes in `context` what logs and metrics report of it."""
        data, received = await self._parsed(request, hold)
        context.shape = self._form.label
        asked = self._form.read(data, request.scope["query_string"])
        context.calls = calls = asked.calls
        context.query = "\n".join(call.query for call in calls.values())
        context.passages = [passage for call in calls.values() for passage in call.passages]
        return asked, received
