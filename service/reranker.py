"""The use case: a rerank call is planned, its documents are judged, and the verdicts become an ordered ranking."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from service.engine import Limits, Scoring
from service.errors import BadRequest, DeadlineExceeded, ServiceError, Unavailable
from service.planning import SCORING, Plan, available_modes
from service.ranking import AdaptiveUse, Key, Listener, Mode, Ranking, RerankCall, ScoreKind, StageName, Verdict
from service.scheduling.admission import Leaving, never
from service.scheduling.work import Incoming
from service.stages.parts import Parts
from service.stages.stage import Asking, Judged, Stage
from service.strategies.choosing import Strategies
from service.strategies.waves import reckoned
from service.verdicts import ordered, ranked_of, warnings_on

_DEFAULT_PRIORITY = 1


@dataclass(frozen=True, slots=True)
class Member:
    """The answer to one call of a batch. `truncated`: the documents that were cut to fit."""

    ranking: Ranking
    truncated: tuple[int, ...]


Outcome = Member | ServiceError


class Reranker:
    """Answers rerank calls, and batches of them. One for the process."""

    def __init__(self, parts: Parts, stage: Stage) -> None:
        """`parts` are those of the served model; `stage` judges documents with it."""
        self._parts = parts
        self._stage = stage
        budgets = parts.defaults.budgets
        self._strategies = Strategies(parts.gate, budgets, parts.capabilities, parts.log_odds, parts.clock)

    async def rank(
        self,
        call: RerankCall,
        *,
        key: Key,
        received: float,
        timeout_ms: int | None,
        client_leaves: Leaving = never,
        listener: Listener | None = None,
    ) -> Ranking:
        """Rank a call's documents. `received` is the monotonic instant of the last body byte; `listener` is told of
        verdicts and reasoning as they come.

        Raises the errors of `service.errors`, ClientLeft among them where `client_leaves` returns first; that and
        cancelling the task free the engine.
        """
        plan = self._plan(call, key, received, timeout_ms)
        try:
            judged = await self._stage.judge(plan, Asking(key, received, client_leaves, listener))
        except ServiceError as error:
            self._count_unanswered(error, [plan])
            raise
        self._count_answered(plan)
        return await self._ranking(plan, judged)

    async def rank_all(
        self,
        calls: Sequence[RerankCall],
        *,
        key: Key,
        received: float,
        timeout_ms: int | None,
        client_leaves: Leaving = never,
    ) -> list[Outcome]:
        """Rank the documents of several calls. Returns for each its ranking, or the error that is its own: a mode that
        the model does not have, a text that is too long, a document that the engine fails on.

        Raises what ends them all together, as `rank` does.
        """
        plans: dict[int, Plan] = {}
        outcomes: dict[int, Outcome] = {}
        for place, call in enumerate(calls):
            try:
                plans[place] = self._plan(call, key, received, timeout_ms, alone=False)
            except BadRequest as error:
                outcomes[place] = error
        try:
            judged = await self._stage.judge_all(plans, Asking(key, received, client_leaves)) if plans else {}
        except ServiceError as error:
            self._count_unanswered(error, plans.values())
            raise
        for place, found in judged.items():
            outcomes[place] = found if isinstance(found, ServiceError) else await self._member(plans[place], found)
        return [outcomes[place] for place in range(len(calls))]

    def _count_answered(self, plan: Plan) -> None:
        outcome = "in_time" if self._parts.clock() <= plan.incoming.deadline else "late"
        self._parts.metrics.outcomes.labels(outcome).inc(plan.incoming.documents)

    def _count_unanswered(self, error: ServiceError, plans: Iterable[Plan]) -> None:
        if (outcome := _outcome_of(error)) is not None:
            self._parts.metrics.outcomes.labels(outcome).inc(sum(plan.incoming.documents for plan in plans))

    async def _member(self, plan: Plan, judged: Judged) -> Member:
        self._count_answered(plan)
        truncated = tuple(verdict.index for verdict in judged[0] if verdict.truncated)
        return Member(await self._ranking(plan, judged), truncated)

    async def _use(self, plan: Plan, verdicts: Sequence[Verdict]) -> AdaptiveUse | None:
        """What adaptive mode took; None in other modes."""
        if plan.mode is not Mode.ADAPTIVE:
            return None
        if plan.chosen.strategy is not None:
            return plan.chosen.strategy.use
        odds = [verdict.log_odds for verdict in verdicts if verdict.stage is not StageName.FIRST]
        return await reckoned(len(odds), partial(self._strategies.unspent, odds, plan.call))

    def _plan(self, call: RerankCall, key: Key, received: float, timeout_ms: int | None, *, alone: bool = True) -> Plan:
        """`alone`: the call is no part of a batch."""
        defaults, mode = self._parts.defaults, self._mode(call)
        if call.first_stage is not None and call.first_stage.weight is None:
            call = replace(call, first_stage=replace(call.first_stage, weight=defaults.first_stage_weight))
        cap, whole = self._budget(call, mode), defaults.cutting(call) is None
        chosen = self._strategies.choose(call, mode, cap, alone=alone, whole=whole)
        direct = mode is Mode.ADAPTIVE and chosen.strategy is None
        limits = Limits(
            budget=0 if direct else cap,
            passage_tokens=call.max_tokens_per_doc or defaults.tokens_per_doc,
            truncate=call.truncate,
            cut_left=call.cut_left,
        )
        timeout = defaults.timeout if timeout_ms is None else min(timeout_ms / 1000, defaults.timeout)
        incoming = Incoming(
            call=uuid.uuid4().hex,
            documents=len(call.passages),
            least_tokens=self._parts.least_tokens(call, limits, mode),
            scoring=Scoring.DIRECT if direct else SCORING[mode],
            priority=max(key.priority, _DEFAULT_PRIORITY if call.priority is None else call.priority),
            deadline=received + timeout,
            key=key.name,
            budget=limits.budget,
        )
        return Plan(call, mode, limits, incoming, chosen)

    def _mode(self, call: RerankCall) -> Mode:
        mode = call.mode or self._parts.defaults.mode
        if SCORING[mode] not in self._parts.capabilities.scoring:
            able = ", ".join(available_modes(self._parts.capabilities.scoring))
            raise BadRequest(f"mode {mode.value!r} is not available with this model; it has {able}.", field="mode")
        return mode

    def _budget(self, call: RerankCall, mode: Mode) -> int:
        if mode is Mode.DIRECT:
            return 0
        defaults, wanted = self._parts.defaults, call.max_reasoning_tokens
        return min(defaults.reasoning_tokens if wanted is None else wanted, defaults.most_reasoning_tokens)

    async def _ranking(self, plan: Plan, judged: Judged) -> Ranking:
        verdicts, timings = judged
        call, strategy, use = plan.call, plan.chosen.strategy, await self._use(plan, verdicts)
        if use is not None:
            self._parts.metrics.observe_adaptive(use)
        results = ordered(verdicts)
        below: int | None = None
        if (least := call.min_score) is not None:
            results = [verdict for verdict in results if verdict.relevance >= least]
            below = len(verdicts) - len(results)
        return Ranking(
            id=uuid.uuid4().hex,
            model=self._parts.defaults.model,
            score_kind=_kind(self._parts.defaults.score_kind, call),
            results=tuple(ranked_of(verdict, call) for verdict in results[: call.top_n or None]),
            prompt_tokens=sum(verdict.prompt_tokens for verdict in verdicts),
            cached_tokens=sum(verdict.cached_tokens for verdict in verdicts),
            reasoning_tokens=strategy.spent if strategy else sum(verdict.reasoning_tokens for verdict in verdicts),
            timings=timings,
            warnings=(*_why_direct(plan), *warnings_on(call, verdicts, self._parts.defaults.least_passage)),
            adaptive=use,
            below_min_score=below,
        )


def _kind(kind: ScoreKind, call: RerankCall) -> ScoreKind:
    """A score that the caller's has a share in is no fitted probability."""
    given = call.first_stage is not None and call.first_stage.weight
    return ScoreKind.OWN if given and kind is ScoreKind.FITTED else kind


def _outcome_of(error: ServiceError) -> str | None:
    """The label of `limrank_documents_by_outcome_total` for a call that was not answered because of the load."""
    if isinstance(error, DeadlineExceeded):
        return "late"
    if isinstance(error, Unavailable) and error.reason in ("queue_full", "deadline"):
        return "given_up" if error.admitted else "refused"
    return None


def _why_direct(plan: Plan) -> tuple[str, ...]:
    why = plan.chosen.why
    return () if why is None else (f"Mode 'adaptive' is answered as 'direct': {why}.",)
