"""Fuses a model's verdicts with the scores of the caller's own search (`contract.adaptive.fusion`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from contract.adaptive.fusion import alike, fused_odds
from contract.verdict import relevance
from service.errors import ServiceError
from service.planning import Plan
from service.ranking import RerankCall, Verdict
from service.stages.stage import Asking, Judged, ReasoningListener, Stage
from service.verdicts import ordered, tell_all

_LARGEST = 40.0  # log-odds of a relevance of 1 in double precision


class Fusing:
    """Has `stage` judge calls, and fuses its verdicts where the caller sent scores of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def judge(self, plan: Plan, asking: Asking) -> Judged:
        """See `Stage.judge`."""
        call, listener = plan.call, asking.listener
        if call.first_stage is None:
            return await self._stage.judge(plan, asking)
        told = None if listener is None else ReasoningListener(listener)
        verdicts, timings = await self._stage.judge(plan, replace(asking, listener=told))
        verdicts = with_given(verdicts, call)
        if listener is not None:
            tell_all(verdicts, call, listener)
        return verdicts, timings

    async def judge_all(self, plans: Mapping[int, Plan], asking: Asking) -> dict[int, Judged | ServiceError]:
        """See `Stage.judge_all`."""
        found = await self._stage.judge_all(plans, asking)
        return {
            place: judged if isinstance(judged, ServiceError) else (with_given(judged[0], plans[place].call), judged[1])
            for place, judged in found.items()
        }


def with_given(verdicts: Sequence[Verdict], call: RerankCall, indices: Sequence[int] | None = None) -> list[Verdict]:
    """The verdicts on the documents `indices` (None: all), fused with what the caller says of them."""
    given = call.first_stage
    if given is None or not given.weight:
        return list(verdicts)
    scores = given.scores if indices is None else [given.scores[index] for index in indices]
    return fused(verdicts, scores, given.weight)


def fused(verdicts: Sequence[Verdict], scores: Sequence[float], weight: float) -> list[Verdict]:
    """The verdicts with their log-odds fused, in their order. `scores`: one for each of them."""
    if not weight or len(verdicts) < 2 or alike(scores, (0.0, 0.0)) is None:
        return list(verdicts)
    own = [on_one_scale(verdict) for verdict in verdicts]
    mixed = fused_odds([verdict.log_odds for verdict in own], scores, weight)
    places = {verdict.index: place for place, verdict in enumerate(ordered(own))}
    order = sorted(
        range(len(own)),
        key=lambda at: (-mixed[at], -scores[at] if weight == 1 else 0.0, places[own[at].index]),
    )
    found = list(own)
    for place, at in enumerate(order):
        found[at] = replace(own[at], log_odds=mixed[at], own_relevance=None, place=place)
    return found


def on_one_scale(verdict: Verdict) -> Verdict:
    """A verdict whose log-odds are those of its relevance: a graded one has its expected grade in their place."""
    own = verdict.own_relevance
    if own is None or own == relevance(verdict.log_odds):
        return verdict
    odds = math.log(own / (1 - own)) if 0.0 < own < 1.0 else math.copysign(_LARGEST, own - 0.5)
    return replace(verdict, log_odds=odds)
