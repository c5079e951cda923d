"""Ranks with a cache of scores: in direct mode a document that was scored before, for the same key and in the same way,
is not scored again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from service.errors import ClientLeft, ServiceError
from service.planning import Plan
from service.ranking import Key, Mode, RerankCall, Timings
from service.stages.parts import Parts
from service.stages.score_cache import ScoreCache
from service.stages.stage import Asking, Judged, PartListener, Stage, of_call
from service.verdicts import ranked_of

# The fields of a call that change no score in direct mode. All others are a part of a score's name, so that one that is
# added later is never forgotten.
_OF_NO_SCORE = frozenset(
    {"passages", "documents", "model", "top_n", "min_score", "mode", "max_reasoning_tokens", "reasoning_budget"}
    | {"priority", "return_reasoning", "return_label_mass", "first_stage"}
)


class Remembering:
    """Judges calls from `cache` as far as it can, and has `stage` judge the rest. Batches are always scored."""

    def __init__(self, stage: Stage, parts: Parts, fingerprint: str, cache: ScoreCache) -> None:
        """`fingerprint`: of the model, and of what else its scores depend on."""
        self._stage = stage
        self._parts = parts
        self._cache = cache
        self._fingerprint = fingerprint

    async def judge_all(self, plans: Mapping[int, Plan], asking: Asking) -> dict[int, Judged | ServiceError]:
        """See `Stage.judge_all`."""
        return await self._stage.judge_all(plans, asking)

    async def judge(self, plan: Plan, asking: Asking) -> Judged:
        """See `Stage.judge`."""
        if plan.mode is not Mode.DIRECT:
            return await self._stage.judge(plan, asking)
        names = self._cache.names(self._context(plan, asking.key), plan.call.passages)
        found = {index: verdict for index, name in enumerate(names) if (verdict := self._cache.get(name, index))}
        missing = [index for index in range(len(names)) if index not in found]
        self._parts.metrics.looked_up(len(found), len(missing))
        if not found:
            verdicts, timings = await self._stage.judge(plan, asking)
        else:
            verdicts, timings = await self._judge_missing(plan, asking, missing)
            if asking.listener is not None:
                for verdict in found.values():
                    asking.listener.ranked(ranked_of(verdict, plan.call))
        for verdict in verdicts:
            self._cache.put(names[verdict.index], verdict)
        return sorted([*found.values(), *verdicts], key=lambda verdict: verdict.index), timings

    async def _judge_missing(self, plan: Plan, asking: Asking, missing: Sequence[int]) -> Judged:
        """The verdicts on the documents `missing`. All documents count against the key's limit."""
        parts, key = self._parts, asking.key
        known = len(plan.call.passages) - len(missing)
        parts.limiter.take(key, known)
        try:
            if not missing:
                parts.admission.check(replace(plan.incoming, documents=0, least_tokens=0))
                waited = (parts.clock() - asking.received) * 1000
                return [], Timings(total=waited, queue=waited, tokenize=0.0, inference=0.0)
            told = None if asking.listener is None else PartListener(asking.listener, missing)
            verdicts, timings = await self._stage.judge(parts.part(plan, missing), replace(asking, listener=told))
        except ClientLeft:
            raise
        except ServiceError as error:
            if not error.begun:
                parts.limiter.give_back(key, known)
            raise of_call(error, missing) from None
        return [replace(verdict, index=missing[verdict.index]) for verdict in verdicts], timings

    def _context(self, plan: Plan, key: Key) -> str:
        """Everything but a document that changes its score, and the caller's key: none learns of another's calls."""
        return repr((key.name, self._fingerprint, plan.mode.value, plan.limits, _told(plan.call)))


def _told(call: RerankCall) -> list[tuple[str, Any]]:
    return [(field.name, getattr(call, field.name)) for field in fields(call) if field.name not in _OF_NO_SCORE]
