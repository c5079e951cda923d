"""From a call to a ranking: order, defaults, warnings, counts, and whose limit is spent."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.reasoning import Status
from contract.verdict import Temperatures
from service.engine import Completion, Output, Prefix, Prompt, Rest, Scoring
from service.errors import BadRequest, DeadlineExceeded, PassageTooLong, ServiceError, TooManyRequests, Unavailable
from service.lifecycle import Phase
from service.ranking import Key, Mode
from service.scheduling.encoding import EncodedCall
from service.scheduling.shares import QueueLimits
from service.verdicts import verdicts_of
from tests.fakes import ScriptedEncoder, ScriptedEngine
from tests.service.reranking import KEY, Service
from tests.waiting import PATIENCE


def by_number(_: str, passage: str) -> float:
    return float(passage)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.none() | st.integers(0, 40))
async def test_results_descend_ties_by_index_and_are_exactly_as_many_as_asked(
    numbers: list[int], top: int | None
) -> None:
    ranking = await Service(ScriptedEngine(log_odds=by_number)).rank([str(n) for n in numbers], top_n=top)
    expected = sorted(range(len(numbers)), key=lambda i: (-numbers[i], i))
    assert [result.index for result in ranking.results] == expected[: top or None]
    assert ranking.prompt_tokens == 50 * len(numbers), "usage counts every document, also those not returned"


async def test_relevance_is_absolute_and_never_scaled_by_its_neighbours() -> None:
    service = Service(ScriptedEngine(log_odds=by_number))
    alone = (await service.rank(["-3"])).results[0]
    among = next(r for r in (await service.rank(["5", "-3", "1"])).results if r.index == 1)
    assert (alone.log_odds, alone.relevance) == (among.log_odds, among.relevance)
    assert alone.relevance == pytest.approx(0.0474, abs=1e-4)


async def test_the_default_mode_is_the_servers_and_a_call_may_choose() -> None:
    service = Service(ScriptedEngine(), mode=Mode.REASONING)
    assert (await service.rank(["x"])).reasoning_tokens == 5
    assert (await service.rank(["x"], mode=Mode.DIRECT)).reasoning_tokens == 0


async def test_a_mode_the_model_has_not_is_a_clear_400() -> None:
    service = Service(ScriptedEngine(scoring=frozenset({Scoring.DIRECT})))
    with pytest.raises(BadRequest, match="mode 'reasoning' is not available") as refused:
        await service.rank(["x"], mode=Mode.REASONING)
    assert refused.value.field == "mode"


async def test_reasoning_is_returned_when_asked_for_and_only_then() -> None:
    service = Service(ScriptedEngine())
    asked = await service.rank(["x"], mode=Mode.REASONING, return_reasoning=True)
    reasoning = asked.results[0].reasoning
    assert reasoning is not None
    assert (reasoning.text, reasoning.status, reasoning.tokens) == ("It answers the question.", Status.COMPLETE, 5)
    assert (await service.rank(["x"], mode=Mode.REASONING)).results[0].reasoning is None
    direct = (await service.rank(["x"], return_reasoning=True)).results[0].reasoning
    assert direct is not None
    assert (direct.text, direct.tokens) == ("", 0)


@pytest.mark.parametrize(
    ("asked", "servers", "given"), [(None, 30, 30), (20, 30, 20), (20, None, 20), (None, None, None)]
)
async def test_passages_are_cut_as_the_call_says_else_as_the_server_does(
    asked: int | None, servers: int | None, given: int | None
) -> None:
    service = Service(ScriptedEngine(), tokens_per_doc=servers)
    await service.rank(["x"], max_tokens_per_doc=asked)
    assert service.engine.encoder.limits[0].passage_tokens == given


@pytest.mark.parametrize(("header_ms", "server_seconds"), [(None, 0.1), (100, 60.0), (60_000, 0.1)])
async def test_the_deadline_is_the_callers_within_the_servers_maximum(
    header_ms: int | None, server_seconds: float
) -> None:
    service = Service(ScriptedEngine(stuck=True), timeout=server_seconds)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        async with asyncio.timeout(PATIENCE):
            await service.rank(["x"], timeout_ms=header_ms)
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize(("asked", "given"), [(None, 64), (10, 10), (0, 0), (100_000, 256)])
async def test_the_trace_budget_is_the_callers_within_the_servers_cap(asked: int | None, given: int) -> None:
    service = Service(ScriptedEngine())
    await service.rank(["x"], mode=Mode.REASONING, max_reasoning_tokens=asked)
    assert service.engine.jobs[0].budget == service.engine.encoder.limits[0].budget == given


@pytest.mark.parametrize(("best", "asked", "given"), [(0, None, 1), (0, 0, 0), (2, 0, 2), (1, 2, 2), (2, None, 2)])
async def test_priority_is_capped_by_the_key(best: int, asked: int | None, given: int) -> None:
    service = Service(ScriptedEngine())
    await service.rank(["x"], key=Key("k", priority=best), priority=asked)
    assert service.engine.jobs[0].priority == given


async def test_blank_documents_are_scored_reported_and_counted() -> None:
    service = Service(ScriptedEngine())
    ranking = await service.rank(["x", "  ", ""])
    assert len(ranking.results) == 3
    assert ranking.warnings == ("2 of 3 documents are blank: 1, 2.",)
    assert service.metrics.registry.get_sample_value("limrank_documents_empty_total") == 2


async def test_cuts_and_early_ends_are_reported() -> None:
    class Cutting(ScriptedEncoder):
        def rests(self, *arguments: Any) -> list[Rest]:
            return [Rest(rest.ids, index < 2) for index, rest in enumerate(super().rests(*arguments))]

    class Ending(ScriptedEngine):
        async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
            async for output in super().submit(prompts):
                assert isinstance(output, Completion)
                yield dataclasses.replace(output, status=Status.BUDGET)

    service = Service(Ending(encoder=Cutting()))
    ranking = await service.rank(["a", "b", "c"], mode=Mode.REASONING)
    assert ranking.warnings == ("2 of 3 documents were truncated: 0, 1.", "3 of 3 traces ended by budget.")
    with pytest.raises(PassageTooLong, match="Document 0 has more than the"):
        await service.rank(["a", "b", "c"], truncate=False)


async def test_a_keys_limit_is_spent_by_answers_and_not_by_refusals() -> None:
    service = Service(ScriptedEngine(), queue=10)
    key = Key("k", documents_per_minute=6)
    service.lifecycle.phase = Phase.DRAINING
    with pytest.raises(Unavailable):
        await service.rank(["x"] * 6, key=key)
    service.lifecycle.phase = Phase.READY
    await service.rank(["x"] * 6, key=key)
    with pytest.raises(TooManyRequests):
        await service.rank(["x"] * 3, key=key)


async def test_what_was_done_is_counted() -> None:
    service = Service(ScriptedEngine())
    await service.rank(["x", " "], mode=Mode.REASONING)
    page = service.metrics.render()[0].decode()
    for line in (
        "limrank_documents_scored_total 2.0",
        "limrank_documents_empty_total 1.0",
        'limrank_verdicts_total{mode="reasoning",status="complete"} 2.0',
        'limrank_tokens_total{kind="reasoning"} 10.0',
        "limrank_inference_seconds_count 1.0",
    ):
        assert line in page


async def test_encoding_has_a_time_of_its_own_in_a_call_s_timings() -> None:
    service = Service(ScriptedEngine(encoder=ScriptedEncoder(seconds=0.05), seconds=0.05))
    timings = (await service.rank(["a"])).timings
    assert timings.tokenize >= 50
    assert timings.inference >= 50
    assert timings.total == pytest.approx(timings.queue + timings.tokenize + timings.inference, abs=1e-6)


async def test_a_budget_of_nothing_is_told_as_such() -> None:
    ranking = await Service(ScriptedEngine()).rank(
        ["x"], mode=Mode.REASONING, max_reasoning_tokens=0, return_reasoning=True
    )
    reasoning = ranking.results[0].reasoning
    assert reasoning is not None
    assert (reasoning.status, reasoning.text, reasoning.tokens) == (Status.BUDGET, "", 0)


@pytest.mark.parametrize(
    ("answers", "tokens", "mode", "odds"),
    [((-1.0, -3.0), 0, Mode.DIRECT, 0.5), ((-1.0, -3.0), 7, Mode.REASONING, 0.25), ((6.0,), 0, Mode.DIRECT, 1.5)],
)
def test_log_odds_are_calibrated_once_from_the_answers(
    answers: tuple[float, ...], tokens: int, mode: Mode, odds: float
) -> None:
    encoded = EncodedCall(Prefix((1, 2), 10), [Rest((3,), truncated=True)], 0.0)
    reasoning = "So." if tokens else None
    completion = Completion(0, answers, reasoning=reasoning, reasoning_tokens=tokens, cached_tokens=1)
    (verdict,) = verdicts_of([completion], encoded, mode, Temperatures(direct=4.0, reasoning=8.0))
    assert verdict.log_odds == odds
    assert (verdict.prompt_tokens, verdict.cached_tokens, verdict.truncated) == (3, 1, True)


async def test_a_call_that_is_refused_is_not_encoded() -> None:
    service = Service(ScriptedEngine(), queue=10, tokens=2000)
    for passages, key in ((["x"] * 11, KEY), (["x"] * 6, Key("k", documents_per_minute=5)), (["x" * 10**6], KEY)):
        with pytest.raises(ServiceError) as refused:
            await service.rank(passages, key=key)
        assert refused.value.status == 413
    assert service.engine.encoder.queries == []


async def test_documents_are_counted_by_what_became_of_their_calls() -> None:
    """In time; late; refused at the door; let in, and given up for another key's call."""
    service = Service(ScriptedEngine(window=1), queue=20)
    service.admission._limits = QueueLimits(20, 10**6, several_keys=True)
    await service.rank(["1"] * 3)
    service.engine.stuck = True
    with pytest.raises(DeadlineExceeded):
        await service.rank(["1"] * 4, timeout_ms=20)
    waiting = asyncio.create_task(service.rank(["1"] * 20))
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable):
        await service.rank(["1"] * 5)
    other = asyncio.create_task(service.rank(["1"] * 6, key=Key("other")))
    with pytest.raises(Unavailable):
        await waiting
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    counted = {
        outcome: service.metrics.registry.get_sample_value("limrank_documents_by_outcome_total", {"outcome": outcome})
        for outcome in ("in_time", "late", "refused", "given_up")
    }
    assert counted == {"in_time": 3, "late": 4, "refused": 5, "given_up": 20}
