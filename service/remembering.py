"""Ranks with a cache of scores: in direct mode a document that was scored before, for the same key and in the same way,
is not scored again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from contract.adaptive.parameters import Gate
from contract.verdict import Temperatures
from service.batch import BatchReranker
from service.engine import Capabilities
from service.errors import ClientLeft, EngineFailed, PassageTooLong, ServiceError
from service.planning import Defaults, Plan
from service.ranking import Key, Listener, Mode, Ranked, ReasoningPiece, RerankCall, Timings, Verdict
from service.scheduling.admission import Admission, Leaving
from service.scheduling.encoding import EncodingPool
from service.scheduling.rate_limit import RateLimiter
from service.score_cache import ScoreCache
from service.strategies.choosing import NOT_FITTED
from service.telemetry.metrics import Metrics
from service.verdicts import ranked_of

# The fields of a call that change no score in direct mode. All others are a part of a score's name, so that one that is
# added later is never forgotten.
_OF_NO_SCORE = frozenset(
    {"passages", "documents", "model", "top_n", "min_score", "mode", "max_reasoning_tokens", "reasoning_budget"}
    | {"priority", "return_reasoning", "return_label_mass"}
)


class RememberingReranker(BatchReranker):
    """Answers rerank calls from `cache` as far as it can. Batches are always scored.

    `fingerprint` is that of the model.
    """

    def __init__(
        self,
        cache: ScoreCache,
        fingerprint: str,
        admission: Admission,
        capabilities: Capabilities,
        encoding: EncodingPool,
        temperatures: Temperatures,
        defaults: Defaults,
        limiter: RateLimiter,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        gate: Gate = NOT_FITTED,
    ) -> None:
        super().__init__(admission, capabilities, encoding, temperatures, defaults, limiter, metrics, clock, gate)
        metrics.follow_scores(lambda: cache.held_bytes)
        self._cache = cache
        self._fingerprint = fingerprint

    async def _judge(
        self, plan: Plan, key: Key, received: float, client_leaves: Leaving, listener: Listener | None
    ) -> tuple[list[Verdict], Timings]:
        if plan.mode is not Mode.DIRECT:
            return await super()._judge(plan, key, received, client_leaves, listener)
        names = self._cache.names(self._context(plan, key), plan.call.passages)
        found = {index: verdict for index, name in enumerate(names) if (verdict := self._cache.get(name, index))}
        missing = [index for index in range(len(names)) if index not in found]
        self._metrics.looked_up(len(found), len(missing))
        if not found:
            verdicts, timings = await super()._judge(plan, key, received, client_leaves, listener)
        else:
            told = None if listener is None else _OfMissing(listener, missing)
            verdicts, timings = await self._judge_missing(plan, key, received, client_leaves, told, missing)
            if listener is not None:
                for verdict in found.values():
                    listener.ranked(ranked_of(verdict, plan.call))
        for verdict in verdicts:
            self._cache.put(names[verdict.index], verdict)
        return sorted([*found.values(), *verdicts], key=lambda verdict: verdict.index), timings

    async def _judge_missing(
        self,
        plan: Plan,
        key: Key,
        received: float,
        client_leaves: Leaving,
        listener: Listener | None,
        missing: Sequence[int],
    ) -> tuple[list[Verdict], Timings]:
        """The verdicts on the documents `missing`. All documents count against the key's limit."""
        known = len(plan.call.passages) - len(missing)
        self._limiter.take(key, known)
        try:
            if not missing:
                self._admission.check(replace(plan.incoming, documents=0, least_tokens=0))
                waited = (self._clock() - received) * 1000
                return [], Timings(total=waited, queue=waited, tokenize=0.0, inference=0.0)
            part = self._part(plan, missing)
            verdicts, timings = await super()._judge(part, key, received, client_leaves, listener)
        except ClientLeft:
            raise
        except ServiceError as error:
            if not error.begun:
                self._limiter.give_back(key, known)
            raise _of_call(error, missing) from None
        return [replace(verdict, index=missing[verdict.index]) for verdict in verdicts], timings

    def _part(self, plan: Plan, missing: Sequence[int]) -> Plan:
        call = replace(plan.call, passages=tuple(plan.call.passages[index] for index in missing), documents=())
        least = self._least_tokens(call, plan.limits, plan.mode)
        return replace(plan, call=call, incoming=replace(plan.incoming, documents=len(missing), least_tokens=least))

    def _context(self, plan: Plan, key: Key) -> str:
        """Everything but a document that changes its score, and the caller's key: none learns of another's calls."""
        return repr((key.name, self._fingerprint, plan.mode.value, plan.limits, _told(plan.call)))


@dataclass(frozen=True, slots=True)
class _OfMissing:
    """Tells a call's listener of documents by their indices in the whole call. `missing`: those that are scored."""

    listener: Listener
    missing: Sequence[int]

    def reasoned(self, piece: ReasoningPiece) -> None:
        self.listener.reasoned(replace(piece, index=self.missing[piece.index]))

    def ranked(self, ranked: Ranked) -> None:
        self.listener.ranked(replace(ranked, index=self.missing[ranked.index]))


def _told(call: RerankCall) -> list[tuple[str, Any]]:
    return [(field.name, getattr(call, field.name)) for field in fields(call) if field.name not in _OF_NO_SCORE]


def _of_call(error: ServiceError, missing: Sequence[int]) -> ServiceError:
    """The same error with the documents' indices in the whole call."""
    if isinstance(error, PassageTooLong):
        return error.of_call(missing[error.index])
    if isinstance(error, EngineFailed) and error.indices:
        indices = [missing[index] for index in error.indices]
        told = EngineFailed(f"The engine could not score document {indices[0]}, also when it was alone.", indices)
        told.begun = error.begun
        return told
    return error
