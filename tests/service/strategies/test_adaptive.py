"""Mode adaptive on a scripted engine: what is spent, what is answered, and what ends it."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.adaptive.parameters import Gate
from contract.reasoning import Status
from service.engine import Completion, Prompt, Scoring
from service.errors import BadRequest, ClientLeft, DeadlineExceeded, EngineDead, EngineFailed, Unavailable
from service.passages.cutting import ChunkSize
from service.ranking import LongDocuments, Mode, Ranked, Ranking, ReasoningPiece, SpansWanted
from service.scheduling.queue import FIRST_TOKENS
from service.strategies.choosing import Budgets
from tests.contract.adaptive.scripted import PARAMETERS, parameters
from tests.fakes import text_of
from tests.service import reranking
from tests.service.strategies.reasoning_engine import ReasoningEngine, by_direct, passage
from tests.waiting import PATIENCE

OPEN = Gate(parameters(early_stop=True), "measured")
ODDS = st.floats(-9, 9, allow_nan=False).map(lambda odds: round(odds, 3))
PASSAGES = st.lists(st.builds(passage, ODDS, ODDS, st.integers(1, 50)), min_size=1, max_size=15)
MIXED = [passage(3.0, 6.0, 20), passage(0.4, -5.0, 33), passage(0.2, 5.0, 12), passage(0.1, 0.0, 9), passage(-8, -8, 5)]


class Service(reranking.Service[ReasoningEngine]):
    """Mode adaptive is the default of its calls."""

    def __init__(self, gate: Gate = OPEN, engine: ReasoningEngine | None = None, **defaults: Any) -> None:
        given: dict[str, Any] = {"mode": Mode.ADAPTIVE, "most_reasoning_tokens": 64} | defaults
        super().__init__(engine or ReasoningEngine(log_odds=by_direct), gate=gate, queue=1000, tokens=10**7, **given)


def scores(ranking: Ranking) -> list[tuple[int, float]]:
    return [(result.index, result.log_odds) for result in ranking.results]


async def freed(service: Service) -> None:
    """Slots come back when the tasks that held them have ended."""
    async with asyncio.timeout(PATIENCE):
        while service.window.running or service.window.queued or service.engine.running:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0)


@settings(deadline=None, max_examples=40)
@given(PASSAGES, st.none() | st.integers(1, 20))
async def test_a_budget_of_0_is_mode_direct_bit_for_bit(passages: list[str], top: int | None) -> None:
    service = Service()
    direct = await service.rank(passages, mode=Mode.DIRECT, top_n=top)
    nothing = await service.rank(passages, reasoning_budget=0, top_n=top)
    assert scores(nothing) == scores(direct)
    assert [result.relevance for result in nothing.results] == [result.relevance for result in direct.results]
    assert nothing.reasoning_tokens == service.engine.written == 0
    assert {result.status for result in nothing.results} == {Status.DIRECT}
    assert nothing.adaptive is not None
    assert (nothing.adaptive.probes, nothing.adaptive.rounds, nothing.adaptive.reasoned) == (0, 0, 0)


@settings(deadline=None, max_examples=40)
@given(PASSAGES, st.integers(0, 300), st.integers(1, 64), st.booleans())
async def test_the_budget_of_a_call_bounds_what_is_generated_and_reported(
    passages: list[str], budget: int, cap: int, early: bool
) -> None:
    service = Service(Gate(parameters(early_stop=early)))
    ranking = await service.rank(passages, reasoning_budget=budget, max_reasoning_tokens=cap, return_reasoning=True)
    assert ranking.adaptive is not None
    assert ranking.reasoning_tokens == service.engine.written + ranking.adaptive.probes <= budget
    assert sorted(result.index for result in ranking.results) == list(range(len(passages)))
    told = {result.index: result.reasoning.tokens for result in ranking.results if result.reasoning is not None}
    assert sum(told.values()) == service.engine.written
    assert all(0 <= result.relevance <= 1 for result in ranking.results)


async def test_documents_at_the_border_are_reasoned_about_and_scored_on_one_scale() -> None:
    service = Service(Gate(parameters()))
    ranking = await service.rank(MIXED, top_n=2, return_reasoning=True, reasoning_budget=1000)
    found = {result.index: result for result in ranking.results}
    assert [result.index for result in ranking.results] == [0, 2]
    assert found[2].log_odds == pytest.approx(PARAMETERS.fused(0.2, 5.0))
    assert (found[2].status, found[0].status) == (Status.COMPLETE, Status.COMPLETE)
    assert ranking.adaptive is not None
    assert (ranking.adaptive.reasoned, ranking.adaptive.probes, ranking.adaptive.undecided) == (4, 0, 0)
    assert ranking.reasoning_tokens == 20 + 33 + 12 + 9
    assert service.count("limrank_verdicts_total", mode="adaptive", status="direct") == 1
    assert service.count("limrank_verdicts_total", mode="adaptive", status="complete") == 4
    assert service.count("limrank_adaptive_rounds_total") == 1
    assert service.count("limrank_tokens_total", kind="reasoning") == 74


async def test_a_checkpoint_that_is_gated_off_answers_as_direct_with_a_warning() -> None:
    service = Service(Gate(None, "reasoning gains -0.010 [-0.020, +0.001]"))
    direct = await service.rank(MIXED, mode=Mode.DIRECT)
    answer = await service.rank(MIXED, reasoning_budget=1000)
    assert scores(answer) == scores(direct)
    assert answer.warnings == ("Mode 'adaptive' is answered as 'direct': reasoning gains -0.010 [-0.020, +0.001].",)
    assert service.engine.written == 0


@pytest.mark.parametrize(("default", "most", "asked", "spent"), [(None, 10**5, None, 180), (30, 10**5, None, 30)])
async def test_a_call_that_names_no_budget_gets_the_servers_or_ten_median_traces(
    default: int | None, most: int, asked: int | None, spent: int
) -> None:
    many = [passage(-n / 100, 0.0, 60) for n in range(40)]
    service = Service(Gate(parameters()), budgets=Budgets(default, most))
    ranking = await service.rank(many, reasoning_budget=asked)
    assert 0 < ranking.reasoning_tokens <= spent
    capped = Service(Gate(parameters()), budgets=Budgets(most=50))
    assert (await capped.rank(many, reasoning_budget=10**6)).reasoning_tokens <= 50


async def test_a_deadline_during_the_traces_leaves_what_is_known_so_far() -> None:
    engine = ReasoningEngine(log_odds=by_direct, stuck_behind=1)
    service = Service(engine=engine)
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        ranking = await service.rank(MIXED, timeout_ms=300, reasoning_budget=1000)
    assert time.monotonic() - begun >= 0.3
    assert len(ranking.results) == len(MIXED)
    statuses = {result.status for result in ranking.results}
    assert statuses <= {Status.DIRECT, Status.DEADLINE}
    await freed(service)


async def test_a_direct_pass_that_is_not_done_at_the_deadline_is_a_504() -> None:
    service = Service(engine=ReasoningEngine(log_odds=by_direct, stuck=True))
    with pytest.raises(DeadlineExceeded, match="Not all of the 5 documents"):
        async with asyncio.timeout(PATIENCE):
            await service.rank(MIXED, timeout_ms=50)
    await freed(service)


async def test_a_client_that_leaves_during_the_traces_frees_the_engine() -> None:
    engine = ReasoningEngine(log_odds=by_direct, stuck_behind=1)
    service = Service(engine=engine)

    async def leaves() -> None:
        while not engine.written:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0)

    with pytest.raises(ClientLeft):
        async with asyncio.timeout(PATIENCE):
            await service.rank(MIXED, reasoning_budget=1000, leaves=leaves)
    await freed(service)
    assert service.admission.active == 0


@pytest.mark.parametrize("reason", ["deadline", "queue_full"])
async def test_overload_takes_the_rest_of_the_traces_and_not_the_call(reason: str) -> None:
    engine = ReasoningEngine(log_odds=by_direct, stuck_behind=1)
    service = Service(engine=engine)
    call = asyncio.create_task(service.rank(MIXED, reasoning_budget=1000))
    while not engine.written:  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0)
    for entry in service.window.entries:
        entry.fail(Unavailable("No room.", reason=reason))
    ranking = await call
    assert len(ranking.results) == len(MIXED)
    assert {result.status for result in ranking.results} <= {Status.DIRECT, Status.DEADLINE}
    await freed(service)


async def test_an_engine_that_dies_between_two_parts_ends_the_call() -> None:
    engine = ReasoningEngine(log_odds=by_direct)
    service = Service(engine=engine)
    call = asyncio.create_task(service.rank(MIXED, reasoning_budget=1000))
    while not engine.written:  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0)
    service.admission.fail_all(EngineDead("The engine has died."))
    with pytest.raises(EngineDead):
        await call


async def test_a_part_of_a_call_is_not_a_new_call_to_the_queue() -> None:
    """Its share counts on, so that many waves gain nothing over a call that is as long."""
    service = Service()
    places = []
    add = service.window._queue.add

    def watched(*arguments: Any, **named: Any) -> Any:
        places.append(add(*arguments, **named))
        return places[-1]

    service.window._queue.add = watched  # type: ignore[method-assign]
    await service.rank([passage(0.0, 0.0, 60) for _ in range(90)], reasoning_budget=10**4)
    assert len(places) > 2
    assert all(later.served > earlier.served or later.served >= FIRST_TOKENS for earlier, later in pairwise(places))
    assert not places[-1].new


async def test_calls_that_are_given_up_at_any_place_leave_nothing_behind() -> None:
    """Deadlines, clients that leave and whole answers, mixed over one engine."""
    service = Service(engine=ReasoningEngine(log_odds=by_direct, seconds=0.0005, window=8))
    many = [passage((n % 7) / 10, (-1) ** n * 3.0, 10 + n) for n in range(12)]
    calls = [
        asyncio.create_task(service.rank(many, timeout_ms=20 + 7 * n if n % 3 == 0 else None, reasoning_budget=60 * n))
        for n in range(30)
    ]
    for number, call in enumerate(calls):
        if number % 3 == 1:
            await asyncio.sleep(0.003)
            call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    rankings = [found for found in ended if isinstance(found, Ranking)]
    assert len(rankings) >= 10
    assert all(len(ranking.results) == len(many) for ranking in rankings)
    assert {type(found) for found in ended} <= {Ranking, DeadlineExceeded, asyncio.CancelledError, Unavailable}
    await freed(service)
    assert (service.admission.active, service.window.calls, len(service.window._queue)) == (0, 0, 0)


async def test_probes_are_read_along_every_trace_when_asked_for() -> None:
    service = Service(gate=Gate(None))
    ranking = await service.rank(MIXED, mode=Mode.REASONING, return_probes=10, max_reasoning_tokens=30)
    probes = {result.index: result.probes for result in ranking.results}
    assert [probe.tokens for probe in probes[1] or ()] == [0, 10, 20, 30]
    assert [probe.tokens for probe in probes[3] or ()] == [0, 9]
    first = (probes[1] or ())[0]
    assert first.log_odds == pytest.approx(0.4)
    assert {result.index: result.status for result in ranking.results}[1] is Status.BUDGET
    traces = 20 + 30 + 12 + 9 + 5
    assert ranking.reasoning_tokens == traces + (1 + 3 + 1)  # those within a trace, and the one that cut it off
    assert ranking.adaptive is None


def in_windows(*passages: str) -> str:
    """One document, of which each passage is a window: 19 to 23 characters, where two have no room in one."""
    numbers = [each.split("|", maxsplit=1) for each in passages]
    return "\n\n".join(f"{float(direct):+013.3f}|{rest}" for direct, rest in numbers)


def in_few_tokens(gate: Gate = OPEN, **fields: Any) -> Service:
    return Service(gate, chunks=ChunkSize(tokens=8, overlap=0), **fields)


LONG = [
    in_windows("-4.0|9.0|5", "0.4|-5.0|33", "-3.0|1.0|7"),
    in_windows("0.2|5.0|12"),
    in_windows("-8|-8|5", "-9|9|5"),
]


async def test_of_documents_in_windows_the_best_one_is_reasoned_about() -> None:
    """It stands for its document also where its trace makes it worse than another window."""
    service = in_few_tokens(Gate(parameters()))
    chunk = LongDocuments.CHUNK
    ranking = await service.rank(LONG, top_n=2, reasoning_budget=1000, long_documents=chunk, return_reasoning=True)
    assert ranking.warnings == ()
    assert ranking.reasoning_tokens == service.engine.written == 33 + 12
    assert ranking.adaptive is not None
    assert ranking.adaptive.reasoned == 2
    found = {result.index: result for result in ranking.results}
    assert [result.index for result in ranking.results] == [1, 0]
    assert found[0].log_odds == pytest.approx(PARAMETERS.fused(0.4, -5.0))
    assert found[0].chunk is not None
    assert LONG[0][found[0].chunk.start : found[0].chunk.end] == in_windows("0.4|-5.0|33")
    assert found[0].reasoning is not None
    assert (found[0].reasoning.tokens, found[0].status) == (33, Status.COMPLETE)
    whole = await service.rank(LONG, reasoning_budget=0, long_documents=chunk)
    direct = await service.rank(LONG, mode=Mode.DIRECT, long_documents=chunk)
    assert scores(whole) == scores(direct)
    assert [result.chunk for result in whole.results] == [result.chunk for result in direct.results]


async def test_spans_of_documents_that_are_reasoned_about_are_scored_directly() -> None:
    service = Service(Gate(parameters()))
    wanted = SpansWanted(threshold=0.0)
    found = await service.rank(MIXED, top_n=2, reasoning_budget=1000, spans=wanted)
    plain = await service.rank(MIXED, top_n=2, reasoning_budget=1000)
    assert scores(found) == scores(plain)
    assert found.reasoning_tokens == plain.reasoning_tokens > 0
    direct = await service.rank(MIXED, mode=Mode.DIRECT, spans=wanted)
    spans = {result.index: result.spans for result in direct.results}
    assert all(result.spans == spans[result.index] for result in found.results)


@settings(deadline=None, max_examples=30)
@given(st.lists(PASSAGES.map(lambda found: found[:4]), min_size=1, max_size=6), st.integers(0, 200), st.booleans())
async def test_the_budget_bounds_documents_in_windows(documents: list[list[str]], budget: int, early: bool) -> None:
    service = in_few_tokens(Gate(parameters(early_stop=early)))
    passages = [in_windows(*each) for each in documents]
    ranking = await service.rank(passages, reasoning_budget=budget, long_documents=LongDocuments.CHUNK)
    assert ranking.adaptive is not None
    assert ranking.reasoning_tokens == service.engine.written + ranking.adaptive.probes <= budget
    assert sorted(result.index for result in ranking.results) == list(range(len(passages)))
    odds = [result.log_odds for result in ranking.results]
    assert odds == sorted(odds, reverse=True)


@pytest.mark.parametrize("chunk", [LongDocuments.TRUNCATE, LongDocuments.CHUNK])
async def test_a_trace_that_the_engine_fails_on_is_named_by_its_document(chunk: LongDocuments) -> None:
    class Failing(ReasoningEngine):
        def _completion(self, index: int, prompt: Prompt, log_odds: float) -> Completion:
            if prompt.budget and by_direct("", text_of(prompt.rest)) == 0.2:
                raise EngineFailed("The engine failed.")
            return super()._completion(index, prompt, log_odds)

    service = in_few_tokens(Gate(parameters()), engine=Failing(log_odds=by_direct))
    passages = [passage(-8, -8, 5), *LONG[:2]] if chunk is LongDocuments.CHUNK else [passage(-8, -8, 5), *MIXED]
    with pytest.raises(EngineFailed) as failed:
        await service.rank(passages, top_n=2, reasoning_budget=1000, long_documents=chunk)
    place = 2 if chunk is LongDocuments.CHUNK else 3
    assert failed.value.indices == (place,)
    assert f"document {place}," in failed.value.message
    await freed(service)


async def test_probes_are_not_for_documents_in_windows() -> None:
    service = Service()
    with pytest.raises(BadRequest, match="return_probes is not for documents that are read in windows"):
        await service.rank(MIXED, mode=Mode.REASONING, return_probes=8, long_documents=LongDocuments.CHUNK)


async def test_a_listener_is_told_of_verdicts_once_they_are_final() -> None:
    told: list[Ranked] = []

    class Listening:
        def reasoned(self, piece: ReasoningPiece) -> None: ...
        def ranked(self, ranked: Ranked) -> None:
            told.append(ranked)

    ranking = await Service().rank(MIXED, reasoning_budget=1000, min_score=0.4, listener=Listening())
    assert told == list(ranking.results)
    assert ranking.below_min_score == len(MIXED) - len(told) > 0


async def test_probes_without_reasoning_are_a_400() -> None:
    with pytest.raises(BadRequest, match="return_probes needs mode 'reasoning'") as refused:
        await Service().rank(MIXED, return_probes=10)
    assert refused.value.field == "return_probes"


async def test_a_model_that_does_not_reason_has_no_adaptive_mode() -> None:
    service = Service(engine=ReasoningEngine(scoring=frozenset({Scoring.DIRECT})))
    with pytest.raises(BadRequest, match="mode 'adaptive' is not available with this model; it has direct"):
        await service.rank(MIXED)


@pytest.mark.parametrize(("documents", "beside"), [(5, False), (700, True)])
async def test_what_stays_undecided_among_many_is_reckoned_beside_the_event_loop(
    documents: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other call would go on while it is counted in the event loop."""
    moved: list[str] = []
    to_thread = asyncio.to_thread

    async def watched(work: Any, *arguments: Any, **named: Any) -> Any:
        moved.append(getattr(getattr(work, "func", work), "__name__", ""))
        return await to_thread(work, *arguments, **named)

    monkeypatch.setattr(asyncio, "to_thread", watched)
    passages = [passage(n % 7 / 10, 0.0, 9) for n in range(documents)]
    ranking = await Service().rank(passages, reasoning_budget=0, top_n=documents // 2)
    assert ranking.adaptive is not None
    assert ranking.adaptive.undecided > 0
    assert ("unspent" in moved) is beside
