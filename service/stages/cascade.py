"""Two models one after the other: the first scores all documents, the second the best of them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from contract.adaptive.reaching import Reaching
from contract.reasoning import Status
from service.engine import Scoring
from service.errors import DeadlineExceeded, ServiceError, Unavailable
from service.planning import Plan
from service.ranking import Listener, Mode, Ranked, ReasoningPiece, RerankCall, StageName, Verdict
from service.scheduling.work import Incoming
from service.stages.batches import as_one
from service.stages.fusion import Fusing, on_one_scale, with_given
from service.stages.merging import merged, missed, of_second, together
from service.stages.parts import Parts
from service.stages.stage import Asking, Judged, PartListener, ReasoningListener, Stage, of_call
from service.strategies.adaptive import COUNT
from service.strategies.choosing import Chosen
from service.strategies.waves import reckoned
from service.verdicts import ordered, tell_all

LEAST_KEPT, KEPT_TIMES = 20, 2
"""Kept where the server does not say: twice the top that is wanted, and at least so many."""
_MARGIN, _LEAST_MARGIN, _MOST_MARGIN = 0.05, 0.05, 1.0  # of the time left for an answer without the second stage
_NO_TIME = 1e-3
_Found = TypeVar("_Found")
_LATE = ("deadline", "queue_full")  # reasons of `Unavailable` that are about this call


@dataclass(frozen=True, slots=True)
class Line:
    """A model and the stage that judges with it."""

    parts: Parts
    stage: Stage


@dataclass(frozen=True, slots=True)
class Keep:
    """How many documents the second stage scores. `count` None: as many as can still reach the top that a call wants,
    by what was fitted for both models; where nothing was, as the top needs."""

    count: int | None = None
    reaching: Reaching | None = None

    def of(self, call: RerankCall) -> int:
        """Before any is scored, and so what time is asked for; at most all of them."""
        wanted = max(LEAST_KEPT, KEPT_TIMES * (call.top_n or COUNT)) if self.count is None else self.count
        return min(wanted, len(call.passages))

    async def after(self, first: Sequence[Verdict], call: RerankCall) -> int:
        """Once the first stage has scored all of them."""
        if self.count is not None or self.reaching is None:
            return self.of(call)
        odds, top = [on_one_scale(verdict).log_odds for verdict in first], call.top_n or COUNT
        return await reckoned(len(odds), partial(self.reaching.count, odds, top))


class Cascade:
    """Judges calls by `first`, and the best of their documents by `second`, the served model.

    A call of no more documents than are kept goes to the second alone. Both have a queue of their own, in which keys
    and classes have their shares. Once the first is done there is a ranking: where the second is too late, or is too
    busy to be in time, that is the answer.
    """

    def __init__(self, first: Line, second: Line, keep: Keep) -> None:
        self._first, self._second, self._keep = first, second, keep
        self._whole = Fusing(second.stage)

    async def judge(self, plan: Plan, asking: Asking) -> Judged:
        """See `Stage.judge`."""
        keep = self._keep.of(plan.call)
        if keep == len(plan.call.passages):
            return await self._all_by_second(plan, asking)
        before = self._of_first(plan)
        self._check([before], [self._of_second(plan, range(keep))])
        verdicts, timings = await self._first.stage.judge(before, replace(asking, listener=None))
        keep = await self._keep.after(verdicts, plan.call)
        verdicts = with_given(verdicts, plan.call)
        kept = _best(verdicts, keep)
        second = await _in_time(self._one_by_second(self._of_second(plan, kept), kept, asking)) if kept else None
        found = self._joined(plan, (verdicts, timings), kept, second)
        if isinstance(found, ServiceError):
            raise found
        if asking.listener is not None:
            tell_all(found[0], plan.call, asking.listener)
        return found

    async def judge_all(self, plans: Mapping[int, Plan], asking: Asking) -> dict[int, Judged | ServiceError]:
        """See `Stage.judge_all`. Calls that go to the second stage alone are one batch, the others another."""
        keep = {place: self._keep.of(plan.call) for place, plan in plans.items()}
        alone = {place: plan for place, plan in plans.items() if keep[place] == len(plan.call.passages)}
        both = {place: plan for place, plan in plans.items() if place not in alone}
        found: dict[int, Judged | ServiceError] = {}
        if alone:
            judged = await self._whole.judge_all(alone, asking)
            found |= {place: _alone(each) for place, each in judged.items()}
        return found | (await self._cascade_all(both, keep, asking) if both else {})

    async def _cascade_all(
        self, plans: Mapping[int, Plan], keep: Mapping[int, int], asking: Asking
    ) -> dict[int, Judged | ServiceError]:
        before = {place: self._of_first(plan) for place, plan in plans.items()}
        after = [self._of_second(plan, range(keep[place])) for place, plan in plans.items()]
        self._check(list(before.values()), after)
        found = await self._first.stage.judge_all(before, asking)
        first: dict[int, Judged] = {}
        kept: dict[int, Sequence[int]] = {}
        for place, judged in found.items():
            if not isinstance(judged, ServiceError):
                left = await self._keep.after(judged[0], plans[place].call)
                verdicts = with_given(judged[0], plans[place].call)
                first[place], kept[place] = (verdicts, judged[1]), _best(verdicts, left)
        parts = {place: self._of_second(plans[place], kept[place]) for place in first if kept[place]}
        asking = replace(self._behind_first(asking), listener=None)
        second = (await _in_time(self._second.stage.judge_all(parts, asking)) if parts else None) or {}
        return found | {
            place: self._joined(plans[place], judged, kept[place], second.get(place)) for place, judged in first.items()
        }

    async def _all_by_second(self, plan: Plan, asking: Asking) -> Judged:
        told = None if asking.listener is None else _Second(asking.listener, plan.mode is Mode.DIRECT)
        verdicts, timings = await self._whole.judge(plan, replace(asking, listener=told))
        return list(map(of_second, verdicts)), timings

    async def _one_by_second(self, part: Plan, kept: Sequence[int], asking: Asking) -> Judged:
        listener = asking.listener
        told = None if listener is None else ReasoningListener(PartListener(listener, kept))
        try:
            return await self._second.stage.judge(part, replace(self._behind_first(asking), listener=told))
        except ServiceError as error:
            raise of_call(error, kept) from None

    def _behind_first(self, asking: Asking) -> Asking:
        """Who asks the second stage, from now on: the documents were counted against the key's limit before."""
        key = replace(asking.key, documents_per_minute=None)
        return replace(asking, key=key, received=self._second.parts.clock())

    def _joined(
        self, plan: Plan, first: Judged, kept: Sequence[int], second: Judged | ServiceError | None
    ) -> Judged | ServiceError:
        metrics, (verdicts, timings) = self._second.parts.metrics, first
        metrics.by_stage.labels(StageName.FIRST.value).inc(len(verdicts))
        if isinstance(second, ServiceError):
            return of_call(second, kept)
        if second is None:
            return missed(verdicts, kept), timings
        metrics.by_stage.labels(StageName.SECOND.value).inc(len(kept))
        own = with_given(second[0], plan.call, kept)
        found = {index: replace(verdict, index=index) for index, verdict in zip(kept, own, strict=True)}
        return merged(verdicts, found), together(timings, second[1])

    def _check(self, before: Sequence[Plan], after: Sequence[Plan]) -> None:
        """Refuse what cannot be done in time by both models, one after the other. Raises as `Admission.check` does."""
        first, second = as_one([plan.incoming for plan in before]), as_one([plan.incoming for plan in after])
        of_first, of_second = self._first.parts.admission, self._second.parts.admission
        now = self._first.parts.clock()
        of_first.check(_sooner(first, of_second.seconds_for(second), now))
        of_second.check(_sooner(second, of_first.seconds_for(first), now))

    def _of_first(self, plan: Plan) -> Plan:
        """How the first stage is to rank a call: directly."""
        call = replace(plan.call, spans=None, return_probes=None, return_reasoning=False)
        limits = replace(plan.limits, budget=0)
        least = self._first.parts.least_tokens(call, limits, Mode.DIRECT)
        incoming = replace(plan.incoming, scoring=Scoring.DIRECT, budget=0, least_tokens=least)
        return Plan(call, Mode.DIRECT, limits, incoming, Chosen())

    def _of_second(self, plan: Plan, kept: Sequence[int]) -> Plan:
        """How the served model is to rank what was kept, with some time left to answer where it is late."""
        part = self._second.parts.part(plan, kept)
        return replace(part, incoming=_with_margin(part.incoming, self._second.parts.clock()))


async def _in_time(judging: Awaitable[_Found]) -> _Found | None:
    """What the second stage says; None where it is too late for it."""
    try:
        return await judging
    except DeadlineExceeded:
        return None
    except Unavailable as error:
        if error.reason not in _LATE:
            raise
        return None


def _sooner(incoming: Incoming, seconds: float, now: float) -> Incoming:
    """A call that leaves the other stage so many seconds. One that leaves itself none is too much, and not too late."""
    deadline = incoming.deadline
    return incoming if deadline <= now else replace(incoming, deadline=max(deadline - seconds, now + _NO_TIME))


def _with_margin(incoming: Incoming, now: float) -> Incoming:
    margin = min(max(_MARGIN * (incoming.deadline - now), _LEAST_MARGIN), _MOST_MARGIN)
    return replace(incoming, deadline=incoming.deadline - margin)


def _best(verdicts: Sequence[Verdict], keep: int) -> list[int]:
    return sorted(verdict.index for verdict in ordered(verdicts)[:keep])


def _alone(judged: Judged | ServiceError) -> Judged | ServiceError:
    """What the second stage says of a call that it got whole."""
    return judged if isinstance(judged, ServiceError) else (list(map(of_second, judged[0])), judged[1])


@dataclass(frozen=True, slots=True)
class _Second:
    """Tells of verdicts that are the second stage's alone. `direct`: it does not reason."""

    listener: Listener
    direct: bool

    def reasoned(self, piece: ReasoningPiece) -> None:
        self.listener.reasoned(piece)

    def ranked(self, ranked: Ranked) -> None:
        status = Status.DIRECT if self.direct else ranked.status
        self.listener.ranked(replace(ranked, stage=StageName.SECOND, status=status, says_status=True))
