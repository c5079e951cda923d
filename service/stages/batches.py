"""Scores several calls as one: admitted together, fair as one, each with verdicts or an error of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.engine import Completion, Scoring
from service.errors import (
    BodyTooLarge,
    ClientLeft,
    EngineFailed,
    FixedPartsTooLong,
    PassageTooLong,
    ServiceError,
)
from service.planning import Plan
from service.ranking import Mode, Verdict
from service.scheduling.encoding import EncodedCall
from service.scheduling.work import Answer, Incoming, Share, Work, batch_work
from service.stages.parts import Parts
from service.stages.stage import Asking, Judged
from service.verdicts import verdicts_of


class _NothingLeft(ServiceError):
    """No call of a batch could be encoded."""


@dataclass(slots=True)
class _Running:
    """A batch on its way. Its dictionaries are by the place of the call; a call is in `judged` once it has failed."""

    plans: Mapping[int, Plan]
    asking: Asking
    encoded: dict[int, EncodedCall] = field(default_factory=dict)
    judged: dict[int, Judged | ServiceError] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Of the calls that have not failed."""
        return sum(plan.incoming.documents for place, plan in self.plans.items() if place not in self.judged)


async def score_batch(parts: Parts, plans: Mapping[int, Plan], asking: Asking) -> dict[int, Judged | ServiceError]:
    """See `Stage.judge_all`. The batch has the least urgent class that one of its calls asks for, and all documents
    count against the key's limit."""
    batch = _Running(plans, asking)
    answer = await _score(parts, batch)
    if answer is not None:
        _read(parts, batch, answer)
    return batch.judged


async def _score(parts: Parts, batch: _Running) -> Answer | None:
    """None where no call is left to be scored. See `Scorer._score` for what is given back."""
    incoming, key = as_one([plan.incoming for plan in batch.plans.values()]), batch.asking.key

    async def encode() -> Work:
        return await _encode(parts, batch, incoming)

    parts.admission.check(incoming)
    parts.limiter.take(key, incoming.documents)
    try:
        return await parts.admission.score(incoming, encode, batch.asking.leaves)
    except _NothingLeft:
        return None
    except ClientLeft:
        raise
    except ServiceError as error:
        if not error.begun:
            parts.limiter.give_back(key, batch.documents)
        raise


async def _encode(parts: Parts, batch: _Running, incoming: Incoming) -> Work:
    shares, key = [], batch.asking.key
    for place, plan in batch.plans.items():
        try:
            encoded = batch.encoded[place] = await parts.encoding.encode(parts.text(plan), key.name)
            direct = frozenset() if encoded.pieces is None else encoded.pieces.spans
            shares.append(Share(encoded.prefix, encoded.rests, plan.limits.budget, direct))
        except (FixedPartsTooLong, PassageTooLong, BodyTooLarge) as error:
            batch.judged[place] = error
            parts.limiter.give_back(key, plan.incoming.documents)
    if not shares:
        raise _NothingLeft("No request of the batch can be encoded.")
    return batch_work(shares, incoming, parts.encoding.answers)


def _read(parts: Parts, batch: _Running, answer: Answer) -> None:
    """Notes what came of each call that was scored."""
    encoding = sum(encoded.seconds for encoded in batch.encoded.values())
    timings = parts.timings(batch.asking.received, answer.begun, encoding)
    scored: dict[Mode, list[Verdict]] = {}
    blank = dict.fromkeys(Mode, 0)
    begin = 0
    for place, encoded in batch.encoded.items():
        plan, end = batch.plans[place], begin + len(encoded.rests)
        verdicts = _verdicts(parts, plan, encoded, answer.completions[begin:end])
        begin = end
        if isinstance(verdicts, ServiceError):
            batch.judged[place] = verdicts
            continue
        scored.setdefault(plan.mode, []).extend(verdicts)
        blank[plan.mode] += sum(1 for passage in plan.call.passages if not passage.strip())
        batch.judged[place] = verdicts, timings
    for mode, found in scored.items():
        parts.metrics.observe_answer(mode, found, blank[mode], timings)


def _verdicts(
    parts: Parts, plan: Plan, encoded: EncodedCall, completions: Sequence[Completion]
) -> list[Verdict] | EngineFailed:
    failed = [index for index, completion in enumerate(completions) if not completion.answers]
    if failed:
        error = EngineFailed(f"The engine could not score document {failed[0]}, also when it was alone.", failed)
        return error if encoded.pieces is None else encoded.pieces.of_documents(error)
    own = [replace(completion, index=index) for index, completion in enumerate(completions)]
    verdicts = verdicts_of(own, encoded, plan.mode, parts.temperatures, parts.encoding.reading)
    return verdicts if encoded.pieces is None else encoded.pieces.documents(verdicts, plan.call.spans)


def as_one(calls: Sequence[Incoming]) -> Incoming:
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
