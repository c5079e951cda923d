"""The stage that asks the engine: a call is encoded, admitted and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.engine import Completion, Scoring
from service.errors import ClientLeft, EngineFailed, ServiceError
from service.planning import Plan
from service.ranking import Listener, Mode, Ranked, Verdict
from service.scheduling.encoding import EncodedCall
from service.scheduling.work import Answer, Work
from service.stages.batches import score_batch
from service.stages.parts import Parts
from service.stages.stage import Asking, Judged
from service.telling import Telling
from service.verdicts import ranked_of, tell_all, verdict_of, verdicts_of


class Scorer:
    """Scores calls with the engine of one model."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def judge(self, plan: Plan, asking: Asking) -> Judged:
        """See `Stage.judge`."""
        parts, listener = self._parts, asking.listener
        encoded, answer = await self._score(plan, asking)
        verdicts = verdicts_of(answer.completions, encoded, plan.mode, parts.temperatures, parts.encoding.reading)
        strategy = plan.chosen.strategy
        if encoded.pieces is not None:
            best = None if strategy is None else strategy.best
            verdicts = encoded.pieces.documents(verdicts, plan.call.spans, best)
        if strategy is not None:
            verdicts = strategy.verdicts(verdicts)
        timings = parts.timings(asking.received, answer.begun, encoded.seconds)
        blank = sum(1 for passage in plan.call.passages if not passage.strip())
        parts.metrics.observe_answer(plan.mode, verdicts, blank, timings)
        if strategy is not None and listener is not None:
            tell_all(verdicts, plan.call, listener)
        return verdicts, timings

    async def judge_all(self, plans: Mapping[int, Plan], asking: Asking) -> dict[int, Judged | ServiceError]:
        """See `Stage.judge_all`."""
        return await score_batch(self._parts, plans, asking)

    async def _score(self, plan: Plan, asking: Asking) -> tuple[EncodedCall, Answer]:
        """Have the call admitted and scored; what it took of the key's limit is given back where it never began."""
        parts, call, key = self._parts, plan.incoming, asking.key
        encoded: EncodedCall | None = None

        async def encode() -> Work:
            nonlocal encoded
            encoded = await parts.encoding.encode(parts.text(plan), key.name)
            return self._work(plan, encoded, asking.listener)

        parts.admission.check(call)
        parts.limiter.take(key, call.documents)
        try:
            follow = None if plan.chosen.strategy is None else plan.chosen.strategy.score
            answer = await parts.admission.score(call, encode, asking.leaves, follow)
        except ClientLeft:
            raise
        except ServiceError as error:
            if not error.begun:
                parts.limiter.give_back(key, call.documents)
            if isinstance(error, EngineFailed) and encoded is not None and encoded.pieces is not None:
                raise encoded.pieces.of_documents(error) from error
            raise
        assert encoded is not None
        return encoded, answer

    def _work(self, plan: Plan, encoded: EncodedCall, listener: Listener | None) -> Work:
        call, one = plan.incoming, plan.chosen.strategy is None  # else the first pass is direct
        return Work(
            call=call.call,
            prefix=encoded.prefix,
            rests=encoded.rests,
            answers=self._parts.encoding.answers,
            scoring=call.scoring if one else Scoring.DIRECT,
            budget=plan.limits.budget if one else 0,
            priority=call.priority,
            deadline=call.deadline,
            key=call.key,
            progress=self._telling(plan, encoded, listener) if listener is not None and one else None,
            direct=frozenset() if encoded.pieces is None else encoded.pieces.spans,
            read=None if encoded.pieces is None else encoded.pieces.read,
        )

    def _telling(self, plan: Plan, encoded: EncodedCall, listener: Listener) -> Telling:
        temperatures, reading = self._parts.temperatures, self._parts.encoding.reading

        def verdict(completion: Completion) -> Verdict:
            rest = encoded.rests[completion.index]
            return verdict_of(completion, encoded.prefix, rest, plan.mode, temperatures, reading)

        def ranked(completions: Sequence[Completion]) -> Ranked:
            verdicts = [verdict(completion) for completion in completions]
            return ranked_of(verdicts[0] if pieces is None else pieces.document(verdicts, call.spans), call)

        call, pieces = plan.call, encoded.pieces
        reasoning = plan.mode is Mode.REASONING and call.return_reasoning
        return Telling(listener, reasoning, ranked, pieces, call.min_score)
