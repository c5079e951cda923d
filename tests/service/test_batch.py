"""Several calls ranked as one: the same rankings as by themselves, one admission, one share, an error for each."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine import Prefix, Scoring
from service.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    FixedPartsTooLong,
    PassageTooLong,
    ServiceError,
    TooManyRequests,
    Unavailable,
)
from service.lifecycle import Phase
from service.ranking import Key, Mode, Ranked, Ranking, RerankCall, Timings
from service.reranker import Member, Outcome
from tests.fakes import ScriptedEncoder, ScriptedEngine
from tests.service.reranking import Service
from tests.waiting import turns, until

NO_TIME = Timings(total=0, queue=0, tokenize=0, inference=0)
WORDS = st.sampled_from(["red", "green", "apple", "pie", "red apple", "green apple pie"])
MODES = st.sampled_from([None, Mode.DIRECT, Mode.REASONING])


def call(query: str, *passages: str, **fields: Any) -> RerankCall:
    return RerankCall(query=query, passages=passages, documents=(), **fields)


CALLS = st.builds(
    lambda query, passages, mode, top: call(query, *passages, mode=mode, top_n=top),
    WORDS,
    st.lists(WORDS, min_size=1, max_size=5),
    MODES,
    st.none() | st.integers(1, 3),
)


def ranking(outcome: Outcome) -> Ranking:
    assert isinstance(outcome, Member), outcome
    return outcome.ranking


def comparable(found: Ranking) -> Ranking:
    """Without what two runs never share."""
    return dataclasses.replace(
        found, id="", timings=dataclasses.replace(found.timings, total=0, queue=0, tokenize=0, inference=0)
    )


def order(results: tuple[Ranked, ...]) -> list[int]:
    return [result.index for result in results]


@settings(deadline=None, max_examples=40)
@given(st.lists(CALLS, min_size=1, max_size=6))
async def test_a_batch_ranks_as_its_calls_by_themselves(calls: list[RerankCall]) -> None:
    service = Service(ScriptedEngine(window=4))
    together = [comparable(ranking(outcome)) for outcome in await service.rank_all(*calls)]
    assert together == [comparable(await service.rank_call(one)) for one in calls]
    assert service.engine.running == service.window.running == 0


async def test_the_engine_is_given_the_documents_of_one_prefix_together() -> None:
    service = Service(ScriptedEngine())
    await service.rank_all(call("red", "a", "b"), call("green", "c"), call("red", "d"))
    assert [(job.query, job.passages) for job in service.engine.jobs] == [("red", ("a", "b", "d")), ("green", ("c",))]
    for job in service.engine.jobs:
        assert len({id(prompt.prefix) for prompt in job.prompts}) == 1, "one object for all, which an engine keeps"
    assert len({job.call for job in service.engine.jobs}) == 2


async def test_two_modes_in_one_batch() -> None:
    service = Service(ScriptedEngine())
    direct, reasoned = await service.rank_all(
        call("a", "a"), call("a", "a", mode=Mode.REASONING, return_reasoning=True, max_reasoning_tokens=9)
    )
    assert ranking(direct).reasoning_tokens == 0
    reasoning = ranking(reasoned).results[0].reasoning
    assert reasoning is not None
    assert reasoning.text
    assert sorted(prompt.budget for job in service.engine.jobs for prompt in job.prompts) == [0, 9]
    assert service.metrics.registry.get_sample_value("limrank_documents_scored_total") == 2


async def test_what_is_wrong_with_one_is_its_own() -> None:
    """A mode the model has not, a query and a document that are too long, a document the engine fails on."""

    class Encoder(ScriptedEncoder):
        def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
            if query == "long":
                raise FixedPartsTooLong("Query and instruction are too long.", field="query")
            return super().prefix(query, instruction, budget)

    engine = ScriptedEngine(scoring=frozenset({Scoring.DIRECT}), encoder=Encoder(), fail_always={"poison"})
    service = Service(engine)
    calls = [
        call("a", "a", "b"),
        call("a", "a", mode=Mode.REASONING),
        call("long", "a"),
        call("a", "c", "poison", "d"),
        call("b", "b", "a"),
    ]
    good, no_mode, too_long, failed, last = await service.rank_all(*calls, key=Key("k", documents_per_minute=20))
    assert order(ranking(good).results) == [0, 1]
    assert order(ranking(last).results) == [0, 1]
    assert isinstance(no_mode, BadRequest)
    assert isinstance(too_long, FixedPartsTooLong)
    assert isinstance(failed, EngineFailed)
    assert failed.indices == (1,), "of its own call"
    service.limiter.take(Key("k", documents_per_minute=20), 13)  # 7 were scored, or tried
    with pytest.raises(TooManyRequests):
        service.limiter.take(Key("k", documents_per_minute=20), 1)
    assert service.window.running == 0


async def test_documents_of_batches_are_counted_by_what_became_of_them() -> None:
    """In time; late; refused at the door. What is wrong with a request itself counts for none, as in a call alone."""
    engine = ScriptedEngine(window=1, fail_always={"poison"})
    service = Service(engine, queue=20)
    await service.rank_all(call("a", "b", "c"), call("a", "poison", "d"), call("b", "e"))
    engine.stuck = True
    with pytest.raises(DeadlineExceeded):
        await service.rank_all(call("a", "b"), call("b", "c", "d"), timeout_ms=20)
    waiting = asyncio.create_task(service.rank_all(call("a", *["b"] * 20)))
    await turns(20)
    with pytest.raises(Unavailable):
        await service.rank_all(call("a", "b"), call("b", "c"))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    names = ("in_time", "late", "refused", "given_up")
    value = service.metrics.registry.get_sample_value
    counted = {name: value("limrank_documents_by_outcome_total", {"outcome": name}) for name in names}
    assert counted == {"in_time": 3, "late": 3, "refused": 2, "given_up": 0}


async def test_a_document_that_must_not_be_cut_is_named_in_its_own_call() -> None:
    service = Service(ScriptedEngine(encoder=CuttingEncoder()))
    kept, refused = await service.rank_all(
        call("a", "short", "much too long"), call("a", "b", "much too long", truncate=False)
    )
    assert isinstance(kept, Member)
    assert kept.truncated == (1,)
    assert isinstance(refused, PassageTooLong)
    assert refused.index == 1


class CuttingEncoder(ScriptedEncoder):
    """Cuts passages of three words."""

    def rests(self, prefix: Prefix, passages: Any, limits: Any) -> Any:
        made = super().rests(prefix, passages, limits)
        return [
            dataclasses.replace(rest, truncated=len(passage.split()) > 2)
            for rest, passage in zip(made, passages, strict=True)
        ]


async def test_nothing_is_scored_where_no_call_can_be() -> None:
    service = Service(ScriptedEngine(scoring=frozenset({Scoring.DIRECT})))
    outcomes = await service.rank_all(*[call("a", "a", mode=Mode.REASONING)] * 3)
    assert all(isinstance(outcome, BadRequest) for outcome in outcomes)
    assert service.engine.jobs == []
    tight = Service(ScriptedEngine(encoder=CuttingEncoder()))
    refused = await tight.rank_all(call("a", "b c d", truncate=False), key=Key("k", documents_per_minute=1))
    assert isinstance(refused[0], PassageTooLong)
    assert tight.engine.jobs == []
    tight.limiter.take(Key("k", documents_per_minute=1), 1)  # it was given back


async def test_a_keys_limit_counts_all_documents() -> None:
    service = Service(ScriptedEngine())
    key = Key("k", documents_per_minute=5)
    with pytest.raises(ServiceError, match="6 documents"):
        await service.rank_all(call("a", "a", "b", "c"), call("b", "a", "b", "c"), key=key)
    await service.rank_all(call("a", "a", "b", "c"), call("b", "a", "b"), key=key)
    with pytest.raises(TooManyRequests):
        await service.rank_all(call("a", "a"), key=key)


async def test_it_is_admitted_as_a_whole_or_not_at_all() -> None:
    service = Service(ScriptedEngine(), queue=5)
    with pytest.raises(ServiceError, match="6 documents"):
        await service.rank_all(call("a", "a", "b", "c"), call("b", "a", "b", "c"))
    service.lifecycle.phase = Phase.DRAINING
    with pytest.raises(Unavailable):
        await service.rank_all(call("a", "a"))
    assert service.engine.jobs == []


async def test_it_has_one_deadline() -> None:
    service = Service(ScriptedEngine(stuck=True))
    with pytest.raises(DeadlineExceeded):
        await service.rank_all(call("a", "a"), call("b", "b"), timeout_ms=50)
    await turns()
    assert service.engine.running == 0


async def test_it_takes_turns_as_one_call() -> None:
    """Beside a batch of eight requests a call of one document waits for no more of it than beside one of eight."""
    service = Service(ScriptedEngine(stuck=True, window=4))
    batch = asyncio.create_task(service.rank_all(*[call(f"q {n}", "a") for n in range(8)]))
    await until(lambda: service.engine.running == 4)
    assert (service.window.calls, service.window.queued) == (1, 4)
    batch.cancel()
    await asyncio.gather(batch, return_exceptions=True)
    await turns()
    assert (service.window.calls, service.window.running, service.engine.running) == (0, 0, 0)


async def test_it_has_the_least_urgent_class_of_its_calls() -> None:
    service = Service(ScriptedEngine())
    await service.rank_all(call("a", "a", priority=0), call("b", "b", priority=2))
    assert {job.priority for job in service.engine.jobs} == {2}
