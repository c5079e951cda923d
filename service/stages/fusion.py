"""Fuses a model's scores with those of the caller's own search.

The search's scores may be on any scale, so they are brought to the mean and the spread of the model's log-odds on the
same documents; the result is a weighted mean of both. With a weight of 0 nothing is changed, with 1 the order is the
search's. Worked out: the model says -2, 0 and 2, the search 10, 30 and 20 (mean 20), which becomes -2, 2 and 0; with
equal weights the three are -2, 1 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

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
    if not weight or len(verdicts) < 2:
        return list(verdicts)
    own = [on_one_scale(verdict) for verdict in verdicts]
    odds = [verdict.log_odds for verdict in own]
    given = alike(scores, odds)
    if given is None:
        return list(verdicts)
    mixed = [(1 - weight) * a + weight * b for a, b in zip(odds, given, strict=True)]
    places = {verdict.index: place for place, verdict in enumerate(ordered(own))}
    order = sorted(
        range(len(own)),
        key=lambda at: (-mixed[at], -scores[at] if weight == 1 else 0.0, places[own[at].index]),
    )
    found = list(own)
    for place, at in enumerate(order):
        found[at] = replace(own[at], log_odds=mixed[at], own_relevance=None, place=place)
    return found


def alike(scores: Sequence[float], odds: Sequence[float]) -> list[float] | None:
    """`scores` with the mean and the spread of `odds`; where these are all the same, with a spread of 1. None where the
    scores are all the same, and so say nothing."""
    most = max(map(abs, scores))
    if most == 0.0 or min(scores) == max(scores):
        return None
    scaled = [score / most for score in scores]  # finite sums of squares, whatever the scale
    mean, spread = _moments(scaled)
    if spread == 0.0:
        return None
    to_mean, to_spread = _moments(odds)
    return [to_mean + (to_spread or 1.0) * (score - mean) / spread for score in scaled]


def on_one_scale(verdict: Verdict) -> Verdict:
    """A verdict whose log-odds are those of its relevance: a graded one has its expected grade in their place."""
    own = verdict.own_relevance
    if own is None or own == relevance(verdict.log_odds):
        return verdict
    odds = math.log(own / (1 - own)) if 0.0 < own < 1.0 else math.copysign(_LARGEST, own - 0.5)
    return replace(verdict, log_odds=odds)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
