"""Several calls that are ranked as one: admitted together, fair as one, each with an answer or an error of its own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.engine import Completion, Scoring
from service.errors import (
    BadRequest,
    BodyTooLarge,
    ClientLeft,
    EngineFailed,
    FixedPartsTooLong,
    PassageTooLong,
    ServiceError,
)
from service.planning import Plan
from service.ranking import Key, Mode, Ranking, RerankCall, Timings, Verdict
from service.reranker import Reranker
from service.scheduling.admission import Leaving, never
from service.scheduling.encoding import EncodedCall
from service.scheduling.work import Answer, Incoming, Share, Work, batch_work
from service.verdicts import verdicts_of


@dataclass(frozen=True, slots=True)
class Member:
    """The answer to one call of a batch. `truncated`: the documents that were cut to fit."""

    ranking: Ranking
    truncated: tuple[int, ...]


Outcome = Member | ServiceError


class _NothingLeft(ServiceError):
    """No call of a batch could be encoded."""


@dataclass(slots=True)
class _Running:
    """A batch on its way. Its dictionaries are by the place of the call; a call is in `outcomes` once it has failed."""

    plans: dict[int, Plan]
    key: Key
    encoded: dict[int, EncodedCall]
    outcomes: dict[int, Outcome]

    @property
    def documents(self) -> int:
        """Of the calls that have not failed."""
        return sum(plan.incoming.documents for place, plan in self.plans.items() if place not in self.outcomes)


class BatchReranker(Reranker):
    """Answers rerank calls, and batches of them."""

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

        Raises what ends them all together, as `rank` does. The batch has the least urgent class that one of its calls
        asks for, and all documents count against the key's limit.
        """
        batch = _Running({}, key, {}, {})
        for place, call in enumerate(calls):
            try:
                batch.plans[place] = self._plan(call, key, received, timeout_ms, alone=False)
            except BadRequest as error:
                batch.outcomes[place] = error
        if batch.plans:
            answer = await self._score_all(batch, client_leaves)
            if answer is not None:
                self._read_all(batch, answer, received)
        return [batch.outcomes[place] for place in range(len(calls))]

    async def _score_all(self, batch: _Running, client_leaves: Leaving) -> Answer | None:
        """None where no call is left to be scored. See `Reranker._score` for what is given back."""
        incoming = _as_one([plan.incoming for plan in batch.plans.values()])

        async def encode() -> Work:
            return await self._encode_all(batch, incoming)

        self._admission.check(incoming)
        self._limiter.take(batch.key, incoming.documents)
        try:
            return await self._admission.score(incoming, encode, client_leaves)
        except _NothingLeft:
            return None
        except ClientLeft:
            raise
        except ServiceError as error:
            if not error.begun:
                self._limiter.give_back(batch.key, batch.documents)
            raise

    async def _encode_all(self, batch: _Running, incoming: Incoming) -> Work:
        shares = []
        for place, plan in batch.plans.items():
            try:
                encoded = batch.encoded[place] = await self._encoding.encode(self._text(plan), batch.key.name)
                direct = frozenset() if encoded.pieces is None else encoded.pieces.spans
                shares.append(Share(encoded.prefix, encoded.rests, plan.limits.budget, direct))
            except (FixedPartsTooLong, PassageTooLong, BodyTooLarge) as error:
                batch.outcomes[place] = error
                self._limiter.give_back(batch.key, plan.incoming.documents)
        if not shares:
            raise _NothingLeft("No request of the batch can be encoded.")
        return batch_work(shares, incoming, self._encoding.answers)

    def _read_all(self, batch: _Running, answer: Answer, received: float) -> None:
        """Notes the outcome of each call that was scored."""
        timings = self._timings(received, answer.begun, sum(encoded.seconds for encoded in batch.encoded.values()))
        scored: dict[Mode, list[Verdict]] = {}
        blank = dict.fromkeys(Mode, 0)
        begin = 0
        for place, encoded in batch.encoded.items():
            plan, end = batch.plans[place], begin + len(encoded.rests)
            verdicts = self._verdicts(plan, encoded, answer.completions[begin:end])
            begin = end
            if isinstance(verdicts, ServiceError):
                batch.outcomes[place] = verdicts
                continue
            scored.setdefault(plan.mode, []).extend(verdicts)
            blank[plan.mode] += sum(1 for passage in plan.call.passages if not passage.strip())
            batch.outcomes[place] = self._member(plan, verdicts, timings)
        for mode, found in scored.items():
            self._metrics.observe_answer(mode, found, blank[mode], timings)

    def _verdicts(
        self, plan: Plan, encoded: EncodedCall, completions: Sequence[Completion]
    ) -> list[Verdict] | EngineFailed:
        failed = [index for index, completion in enumerate(completions) if not completion.answers]
        if failed:
            error = EngineFailed(f"The engine could not score document {failed[0]}, also when it was alone.", failed)
            return error if encoded.pieces is None else encoded.pieces.of_documents(error)
        own = [replace(completion, index=index) for index, completion in enumerate(completions)]
        verdicts = verdicts_of(own, encoded, plan.mode, self._temperatures, self._encoding.reading)
        return verdicts if encoded.pieces is None else encoded.pieces.documents(verdicts, plan.call.spans)

    def _member(self, plan: Plan, verdicts: Sequence[Verdict], timings: Timings) -> Member:
        truncated = tuple(verdict.index for verdict in verdicts if verdict.truncated)
        return Member(self._ranking(plan, verdicts, timings, self._use(plan, verdicts)), truncated)


def _as_one(calls: Sequence[Incoming]) -> Incoming:
    """What admission is told of a batch."""
    reasons = any(call.scoring is Scoring.REASONING for call in calls)
    return replace(
        calls[0],
        call=uuid.uuid4().hex,
        documents=sum(call.documents for call in calls),
        least_tokens=sum(call.least_tokens for call in calls),
        scoring=Scoring.REASONING if reasons else Scoring.DIRECT,
        priority=max(call.priority for call in calls),
    )
