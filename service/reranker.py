"""The use case: a rerank call is encoded, scored by the engine, and its answers become an ordered ranking."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence

from contract.adaptive.parameters import Gate
from contract.verdict import Temperatures
from service.engine import Capabilities, Completion, Limits, Scoring
from service.errors import BadRequest, ClientLeft, DeadlineExceeded, EngineFailed, ServiceError, Unavailable
from service.planning import SCORING, Defaults, Plan, available_modes
from service.ranking import (
    AdaptiveUse,
    Key,
    Listener,
    Mode,
    Ranked,
    Ranking,
    RerankCall,
    Timings,
    Verdict,
)
from service.scheduling.admission import Admission, Leaving, never
from service.scheduling.encoding import CallText, EncodedCall, EncodingPool
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.work import Answer, Incoming, Work
from service.strategies.choosing import NOT_FITTED, Strategies
from service.telemetry.metrics import Metrics
from service.telling import Telling
from service.verdicts import ordered, ranked_of, verdict_of, verdicts_of, warnings_on

_DEFAULT_PRIORITY = 1


class Reranker:
    """Answers rerank calls. One for the process."""

    def __init__(
        self,
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
        """`gate`: what adaptive mode does with this model."""
        self._strategies = Strategies(gate, defaults.budgets, capabilities, self._log_odds, clock)
        self._admission = admission
        self._capabilities = capabilities
        self._encoding = encoding
        self._temperatures = temperatures
        self._defaults = defaults
        self._limiter = limiter
        self._metrics = metrics
        self._clock = clock

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
        verdicts, timings = await self._judge(plan, key, received, client_leaves, listener)
        return self._ranking(plan, verdicts, timings, self._use(plan, verdicts))

    async def _judge(
        self, plan: Plan, key: Key, received: float, client_leaves: Leaving, listener: Listener | None
    ) -> tuple[list[Verdict], Timings]:
        """The verdicts on a call's documents, in their order."""
        try:
            encoded, answer = await self._score(plan, key, client_leaves, listener)
        except ServiceError as error:
            if (outcome := _outcome_of(error)) is not None:
                self._metrics.outcomes.labels(outcome).inc(plan.incoming.documents)
            raise
        in_time = self._clock() <= plan.incoming.deadline
        self._metrics.outcomes.labels("in_time" if in_time else "late").inc(plan.incoming.documents)
        verdicts = verdicts_of(answer.completions, encoded, plan.mode, self._temperatures, self._encoding.reading)
        if (strategy := plan.chosen.strategy) is not None:
            verdicts = strategy.verdicts(verdicts)
        if encoded.pieces is not None:
            verdicts = encoded.pieces.documents(verdicts, plan.call.spans)
        timings = self._timings(received, answer.begun, encoded.seconds)
        blank = sum(1 for passage in plan.call.passages if not passage.strip())
        self._metrics.observe_answer(plan.mode, verdicts, blank, timings, self._use(plan, verdicts))
        if strategy is not None and listener is not None:
            _tell_all(verdicts, plan.call, listener)
        return verdicts, timings

    def _use(self, plan: Plan, verdicts: Sequence[Verdict]) -> AdaptiveUse | None:
        """What adaptive mode took; None in other modes."""
        if plan.mode is not Mode.ADAPTIVE:
            return None
        if plan.chosen.strategy is not None:
            return plan.chosen.strategy.use
        return self._strategies.unspent([verdict.log_odds for verdict in verdicts], plan.call)

    def _log_odds(self, completion: Completion) -> float:
        temperature = self._temperatures.after(completion.reasoning_tokens)
        return self._encoding.reading.score(completion.answers, temperature).raw

    async def _score(
        self, plan: Plan, key: Key, client_leaves: Leaving, listener: Listener | None
    ) -> tuple[EncodedCall, Answer]:
        """Have the call admitted and scored; what it took of the key's limit is given back where it never began."""
        call = plan.incoming
        encoded: EncodedCall | None = None

        async def encode() -> Work:
            nonlocal encoded
            encoded = await self._encoding.encode(self._text(plan), key.name)
            return self._work(plan, encoded, listener)

        self._admission.check(call)
        self._limiter.take(key, call.documents)
        try:
            follow = None if plan.chosen.strategy is None else plan.chosen.strategy.score
            answer = await self._admission.score(call, encode, client_leaves, follow)
        except ClientLeft:
            raise
        except ServiceError as error:
            if not error.begun:
                self._limiter.give_back(key, call.documents)
            if isinstance(error, EngineFailed) and encoded is not None and encoded.pieces is not None:
                raise encoded.pieces.of_documents(error) from error
            raise
        assert encoded is not None
        return encoded, answer

    def _timings(self, received: float, begun: float, encoding: float) -> Timings:
        done = self._clock()
        return Timings(
            total=(done - received) * 1000,
            queue=max(0.0, begun - received - encoding) * 1000,
            tokenize=encoding * 1000,
            inference=(done - begun) * 1000,
        )

    def _plan(self, call: RerankCall, key: Key, received: float, timeout_ms: int | None, *, alone: bool = True) -> Plan:
        """`alone`: the call is no part of a batch."""
        mode = self._mode(call)
        cap, whole = self._budget(call, mode), self._defaults.cutting(call) is None
        chosen = self._strategies.choose(call, mode, cap, alone=alone, whole=whole)
        direct = mode is Mode.ADAPTIVE and chosen.strategy is None
        limits = Limits(
            budget=0 if direct else cap,
            passage_tokens=call.max_tokens_per_doc or self._defaults.tokens_per_doc,
            truncate=call.truncate,
            cut_left=call.cut_left,
        )
        timeout = self._defaults.timeout if timeout_ms is None else min(timeout_ms / 1000, self._defaults.timeout)
        incoming = Incoming(
            call=uuid.uuid4().hex,
            documents=len(call.passages),
            least_tokens=self._least_tokens(call, limits, mode),
            scoring=Scoring.DIRECT if direct else SCORING[mode],
            priority=max(key.priority, _DEFAULT_PRIORITY if call.priority is None else call.priority),
            deadline=received + timeout,
            key=key.name,
            budget=limits.budget,
        )
        return Plan(call, mode, limits, incoming, chosen)

    def _mode(self, call: RerankCall) -> Mode:
        mode = call.mode or self._defaults.mode
        if SCORING[mode] not in self._capabilities.scoring:
            able = ", ".join(available_modes(self._capabilities.scoring))
            raise BadRequest(f"mode {mode.value!r} is not available with this model; it has {able}.", field="mode")
        return mode

    def _budget(self, call: RerankCall, mode: Mode) -> int:
        if mode is Mode.DIRECT:
            return 0
        wanted = call.max_reasoning_tokens
        return min(self._defaults.reasoning_tokens if wanted is None else wanted, self._defaults.most_reasoning_tokens)

    def _least_tokens(self, call: RerankCall, limits: Limits, mode: Mode) -> int:
        """The fewest tokens that the call can come to, as far as its characters tell."""
        least, longest = self._encoding.least_tokens, limits.passage_tokens or self._capabilities.max_model_tokens
        if limits.passage_tokens is None and self._defaults.chunks_asked(call):
            longest = sys.maxsize
        passages = sum(min(least(passage), longest) for passage in call.passages)
        reasoning = limits.budget * len(call.passages) if mode is Mode.REASONING else 0
        return passages + least(call.query) + reasoning

    def _text(self, plan: Plan) -> CallText:
        call = plan.call
        return CallText(call.query, call.instruction, call.passages, plan.limits, self._defaults.cutting(call))

    def _work(self, plan: Plan, encoded: EncodedCall, listener: Listener | None) -> Work:
        call, one = plan.incoming, plan.chosen.strategy is None  # else the first pass is direct
        return Work(
            call=call.call,
            prefix=encoded.prefix,
            rests=encoded.rests,
            answers=self._encoding.answers,
            scoring=call.scoring if one else Scoring.DIRECT,
            budget=plan.limits.budget if one else 0,
            priority=call.priority,
            deadline=call.deadline,
            key=call.key,
            progress=self._telling(plan, encoded, listener) if listener is not None and one else None,
            direct=frozenset() if encoded.pieces is None else encoded.pieces.spans,
        )

    def _telling(self, plan: Plan, encoded: EncodedCall, listener: Listener) -> Telling:
        def verdict(completion: Completion) -> Verdict:
            rest, reading = encoded.rests[completion.index], self._encoding.reading
            return verdict_of(completion, encoded.prefix, rest, plan.mode, self._temperatures, reading)

        def ranked(completions: Sequence[Completion]) -> Ranked:
            verdicts = [verdict(completion) for completion in completions]
            return ranked_of(verdicts[0] if pieces is None else pieces.document(verdicts, call.spans), call)

        call, pieces = plan.call, encoded.pieces
        reasoning = plan.mode is Mode.REASONING and call.return_reasoning
        return Telling(listener, reasoning, ranked, pieces, call.min_score)

    def _ranking(
        self, plan: Plan, verdicts: Sequence[Verdict], timings: Timings, use: AdaptiveUse | None = None
    ) -> Ranking:
        call, strategy = plan.call, plan.chosen.strategy
        results = ordered(verdicts)
        below: int | None = None
        if (least := call.min_score) is not None:
            results = [verdict for verdict in results if verdict.relevance >= least]
            below = len(verdicts) - len(results)
        return Ranking(
            id=uuid.uuid4().hex,
            model=self._defaults.model,
            score_kind=self._defaults.score_kind,
            results=tuple(ranked_of(verdict, call) for verdict in results[: call.top_n or None]),
            prompt_tokens=sum(verdict.prompt_tokens for verdict in verdicts),
            cached_tokens=sum(verdict.cached_tokens for verdict in verdicts),
            reasoning_tokens=strategy.spent if strategy else sum(verdict.reasoning_tokens for verdict in verdicts),
            timings=timings,
            warnings=(*_why_direct(plan), *warnings_on(call, verdicts, self._defaults.least_passage)),
            adaptive=use,
            below_min_score=below,
        )


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


def _tell_all(verdicts: Sequence[Verdict], call: RerankCall, listener: Listener) -> None:
    """Tell a listener of verdicts that were not final before all of them were known."""
    for verdict in ordered(verdicts):
        if call.min_score is None or verdict.relevance >= call.min_score:
            listener.ranked(ranked_of(verdict, call))
