"""Two models one after the other, on scripted engines: one order, one scale, and what happens where a stage fails."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.adaptive.curves import Curve
from contract.adaptive.parameters import Gate
from contract.adaptive.reaching import Reaching
from contract.reasoning import Status
from service.engine import Scoring
from service.errors import DeadlineExceeded, EngineFailed, PassageTooLong, TooManyRequests, Unavailable
from service.lifecycle import FirstStageLifecycle, Lifecycle, Phase
from service.ranking import (
    FirstStage,
    Key,
    LongDocuments,
    Mode,
    Ranked,
    Ranking,
    ReasoningPiece,
    RerankCall,
    SpansWanted,
    StageName,
)
from service.reranker import Member
from service.stages.cascade import LEAST_KEPT, Keep
from service.stages.score_cache import ScoreCache
from tests.contract.adaptive.scripted import parameters
from tests.fakes import ScriptedEngine
from tests.service.reranking import Service
from tests.service.strategies.reasoning_engine import ReasoningEngine, by_direct
from tests.service.test_batch import CuttingEncoder
from tests.waiting import PATIENCE, until

FIRST, SECOND = StageName.FIRST, StageName.SECOND
ODDS = st.integers(-60, 60).map(lambda tenths: tenths / 10)
DOCUMENTS = st.lists(st.tuples(ODDS, ODDS), min_size=1, max_size=12)
# A passage is `second|first`, its scores by both models.
FIVE = ["-1|5", "2|4", "1|3", "9|2", "8|1"]


def by_first(_: str, passage: str) -> float:
    return float(passage.split("|")[1])


def cascade(engine: ScriptedEngine | None = None, first: ScriptedEngine | None = None, **fields: Any) -> Any:
    return Service(
        engine or ScriptedEngine(log_odds=by_direct), first=first or ScriptedEngine(log_odds=by_first), **fields
    )


def order(ranking: Ranking) -> list[int]:
    return [result.index for result in ranking.results]


def stages(ranking: Ranking) -> list[StageName | None]:
    return [result.stage for result in ranking.results]


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, st.integers(0, 13))
async def test_what_is_kept_is_above_the_rest_each_in_its_own_order_on_one_falling_scale(
    documents: list[tuple[float, float]], keep: int
) -> None:
    ranking = await cascade(keep=keep).rank([f"{second}|{first}" for second, first in documents])
    by_both = range(len(documents))
    best = sorted(by_both, key=lambda i: (-documents[i][1], i))
    kept, rest = sorted(best[:keep]), best[keep:]
    assert order(ranking) == [*sorted(kept, key=lambda i: (-documents[i][0], i)), *rest]
    scores = [result.relevance for result in ranking.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert stages(ranking) == [SECOND] * len(kept) + [FIRST] * len(rest)
    assert {result.status for result in ranking.results} == {Status.DIRECT}
    for result in ranking.results:
        second, first = documents[result.index]
        if result.stage is SECOND:
            assert result.log_odds == second, "the score that the model gives it alone"
        else:
            least = min((documents[i][0] for i in kept), default=first)
            assert result.log_odds == min(first, least)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(ODDS, ODDS, ODDS), min_size=1, max_size=8), st.integers(0, 9), st.sampled_from([0.0, 0.5, 1]))
async def test_with_scores_of_the_caller_there_is_one_order_too(
    documents: list[tuple[float, float, float]], keep: int, weight: float
) -> None:
    given_scores = tuple(third for _, _, third in documents)
    service = cascade(keep=keep)
    ranking = await service.rank(
        [f"{second}|{first}" for second, first, _ in documents], first_stage=FirstStage(given_scores, weight)
    )
    scores = [result.relevance for result in ranking.results]
    assert sorted(order(ranking)) == list(range(len(documents)))
    assert scores == sorted(scores, reverse=True)
    if weight == 1 and len(set(given_scores)) == len(given_scores):
        assert order(ranking) == sorted(range(len(documents)), key=lambda i: -given_scores[i])


def test_twice_the_top_is_kept_and_no_fewer_than_the_least() -> None:
    def call(passages: int, top: int | None) -> RerankCall:
        return RerankCall("q", ("p",) * passages, (), top_n=top)

    assert Keep().of(call(1000, None)) == Keep().of(call(1000, 3)) == LEAST_KEPT
    assert Keep().of(call(1000, 50)) == 100
    assert Keep().of(call(7, None)) == 7
    assert Keep(3).of(call(1000, 50)) == 3
    assert Keep(0).of(call(1000, None)) == 0


def believed(spread: float) -> Reaching:
    """The second model says what the first does, give or take."""
    return Reaching(Curve((0.0,), (0.0,), 1.0), Curve((0.0,), (spread,)))


MANY = [f"{-place}|{30 - place}" for place in range(60)]


@pytest.mark.parametrize(("spread", "top"), [(0.0, 10), (0.01, 25), (2.0, 3), (4.0, 10), (500.0, 1)])
async def test_as_many_are_kept_as_can_reach_the_top(spread: float, top: int) -> None:
    reaching = believed(spread)
    service = cascade(reaching=reaching)
    ranking = await service.rank(MANY, top_n=top)
    count = reaching.count([30.0 - place for place in range(60)], top)
    assert count == (top if spread < 1 else 60 if spread > 100 else count) >= top
    assert [job.passages for job in service.engine.jobs] == [tuple(MANY[:count])]
    assert order(ranking) == list(range(top))
    [together] = await service.rank_all(RerankCall("q", tuple(MANY), (), top_n=top))
    assert isinstance(together, Member)
    assert together.ranking.results == ranking.results


async def test_a_number_that_the_server_names_is_kept_whatever_is_believed() -> None:
    service = cascade(reaching=believed(500.0), keep=3)
    assert stages(await service.rank(MANY)).count(SECOND) == 3
    none = cascade(reaching=believed(500.0), keep=0)
    assert stages(await none.rank(MANY)) == [FIRST] * 60


async def test_the_belief_counts_and_the_fused_order_chooses() -> None:
    service = cascade(reaching=believed(0.0))
    turned = FirstStage(tuple(map(float, range(60))), 1.0)
    await service.rank(MANY, top_n=10, first_stage=turned)
    assert [job.passages for job in service.engine.jobs] == [tuple(MANY[50:])]


async def test_beliefs_about_many_documents_are_reckoned_beside_the_event_loop() -> None:
    many = [f"0|{place % 97}" for place in range(700)]
    service = cascade(reaching=believed(1.0), queue=1000, tokens=10**7)
    ranking = await service.rank(many)
    assert 10 <= stages(ranking).count(SECOND) < 100


async def test_usage_counts_both_models_and_the_second_sees_no_more_than_is_kept() -> None:
    service = cascade(keep=2)
    ranking = await service.rank(FIVE)
    assert [job.passages for job in service.engine.jobs] == [("-1|5", "2|4")]
    assert (ranking.prompt_tokens, ranking.cached_tokens) == (7 * 50, 7 * 20)
    assert service.count("limrank_documents_by_stage_total", stage="first") == 5
    assert service.count("limrank_documents_by_stage_total", stage="second") == 2
    assert service.count("limrank_documents_by_outcome_total", outcome="in_time") == 5
    assert ranking.warnings == ()


async def test_a_call_of_no_more_than_is_kept_is_the_served_models_alone() -> None:
    first = ScriptedEngine(log_odds=by_first)
    ranking = await cascade(first=first, keep=5).rank(FIVE)
    assert first.jobs == []
    assert [result.log_odds for result in ranking.results] == [9, 8, 2, 1, -1]
    assert stages(ranking) == [SECOND] * 5


async def test_the_least_score_and_top_n_count_on_the_scale_of_all() -> None:
    ranking = await cascade(keep=2).rank(FIVE, min_score=0.5)
    assert (order(ranking), ranking.below_min_score) == ([1], 4), "nothing of the rest is above what was kept"
    assert order(await cascade(keep=2).rank(FIVE, top_n=3)) == [1, 0, 2]


async def test_reasoning_and_adaptive_mode_are_for_what_is_kept() -> None:
    documents = [f"0.5|{6 - i}|{i + 4}" for i in range(6)]  # direct, after reasoning and by the first stage, tokens
    first = ScriptedEngine(log_odds=by_first)
    gate = Gate(parameters(early_stop=True), "measured")
    service = cascade(ReasoningEngine(log_odds=by_direct), first, gate=gate, keep=2)
    reasoned = await service.rank(documents, mode=Mode.REASONING)
    assert reasoned.reasoning_tokens == 4 + 5
    assert [result.status for result in reasoned.results] == [Status.COMPLETE] * 2 + [Status.DIRECT] * 4
    adaptive = await service.rank(documents, mode=Mode.ADAPTIVE, reasoning_budget=100, top_n=1)
    assert adaptive.adaptive is not None
    assert 0 < adaptive.adaptive.reasoned <= 2
    assert adaptive.reasoning_tokens == adaptive.adaptive.spent > 0
    assert adaptive.results[0].stage is SECOND
    nothing = await service.rank(documents, mode=Mode.ADAPTIVE, reasoning_budget=0)
    assert nothing.reasoning_tokens == 0
    assert order(nothing) == order(await service.rank(documents, mode=Mode.DIRECT))


async def test_a_second_stage_that_is_not_in_time_leaves_the_first_ones_ranking() -> None:
    service = cascade(ScriptedEngine(log_odds=by_direct, stuck=True), keep=2)
    ranking = await service.rank(FIVE, timeout_ms=300)
    assert order(ranking) == [0, 1, 2, 3, 4]
    assert stages(ranking) == [FIRST] * 5
    assert [result.status for result in ranking.results] == [Status.DEADLINE] * 2 + [Status.DIRECT] * 3
    assert ranking.warnings == ("2 documents that were to be scored by the second stage keep the first one's scores.",)
    await until(lambda: service.engine.running == 0)
    gate = Gate(parameters(), "measured")
    late = cascade(ReasoningEngine(log_odds=by_direct, stuck=True), gate=gate, keep=2)
    adaptive = await late.rank([f"{each}|5" for each in FIVE], mode=Mode.ADAPTIVE, timeout_ms=300)
    assert adaptive.adaptive is not None
    assert (stages(adaptive), adaptive.reasoning_tokens) == ([FIRST] * 5, 0)


async def test_a_first_stage_that_is_not_in_time_leaves_nothing() -> None:
    first = ScriptedEngine(log_odds=by_first, stuck=True)
    service = cascade(first=first, keep=2)
    with pytest.raises(DeadlineExceeded):
        await service.rank(FIVE, timeout_ms=100)
    await until(lambda: first.running == 0)
    assert service.engine.jobs == []
    assert service.count("limrank_documents_by_outcome_total", outcome="late") == 5


async def test_a_document_that_an_engine_fails_on_is_named_by_its_place_in_the_call() -> None:
    with pytest.raises(EngineFailed) as failed:
        await cascade(ScriptedEngine(log_odds=by_direct, fail_always={"1|3"}), keep=2).rank(FIVE[::-1][:3])
    assert failed.value.indices == (2,)
    with pytest.raises(EngineFailed) as failed:
        await cascade(first=ScriptedEngine(log_odds=by_first, fail_always={"8|1"}), keep=2).rank(FIVE)
    assert failed.value.indices == (4,)


async def test_a_document_that_must_not_be_cut_fits_both_or_is_refused() -> None:
    passages = ["0|1", "0|3 " + "long " * 20, "0|2"]

    def first_word(_: str, passage: str) -> float:
        return by_first(_, passage.split(" ", maxsplit=1)[0])

    engine = ScriptedEngine(log_odds=lambda *_: 0.0, encoder=CuttingEncoder())
    service = cascade(engine, ScriptedEngine(log_odds=first_word), keep=2)
    with pytest.raises(PassageTooLong) as refused:
        await service.rank(passages, truncate=False)
    assert refused.value.index == 1


async def test_a_call_that_both_stages_cannot_do_in_time_is_refused_before_either_begins() -> None:
    first = ScriptedEngine(log_odds=by_first)
    service = cascade(first=first, keep=4)
    throughput = service.admission._throughput
    throughput.suppose(Scoring.DIRECT, 1.0)  # a token a second
    throughput._sampled[Scoring.DIRECT] = float("inf")  # and that is known
    with pytest.raises(Unavailable) as refused:
        await service.rank(["0|1 " + "x" * 400] * 5, timeout_ms=1000)
    assert (refused.value.reason, refused.value.begun) == ("deadline", False)
    assert (first.jobs, service.engine.jobs) == ([], [])
    assert service.count("limrank_documents_by_outcome_total", outcome="refused") == 5


async def test_the_limit_of_a_key_counts_a_document_once() -> None:
    service, key = cascade(keep=2), Key("k", documents_per_minute=9)
    await service.rank(FIVE, key=key)
    await service.rank(FIVE[:4], key=key)
    with pytest.raises(TooManyRequests):
        await service.rank(FIVE[:1], key=key)


async def test_known_scores_are_those_of_their_stage() -> None:
    service = cascade(cache=ScoreCache(1 << 20), keep=2)
    ranking = await service.rank(FIVE)
    again = await service.rank(FIVE)
    assert [(r.index, r.log_odds, r.stage) for r in again.results] == [
        (r.index, r.log_odds, r.stage) for r in ranking.results
    ]
    assert all(result.cached for result in again.results)
    assert len(service.cache) == 7
    assert (len(service.engine.jobs), again.prompt_tokens) == (1, ranking.prompt_tokens)
    fewer = await service.rank([*FIVE[3:], "3|0.5"])
    assert stages(fewer) == [SECOND, SECOND, FIRST]
    assert [result.log_odds for result in fewer.results] == [9, 8, 0.5]


async def test_windows_and_spans() -> None:
    def best_word(_: str, passage: str) -> float:
        return max((float(word) for word in passage.split() if word.lstrip("-").isdigit()), default=-9.0)

    encoder = CuttingEncoder
    engine = ScriptedEngine(log_odds=best_word, encoder=encoder())
    first = ScriptedEngine(log_odds=best_word, encoder=encoder())
    long = "nothing here. " * 10 + "5 and more."
    service = cascade(engine, first, keep=1)
    ranking = await service.rank(
        [long, "1 word.", "2 words."], long_documents=LongDocuments.CHUNK, spans=SpansWanted(0.5)
    )
    assert (order(ranking), stages(ranking)) == ([0, 2, 1], [SECOND, FIRST, FIRST])
    assert ranking.results[0].chunk is not None
    assert ranking.results[0].spans, "of what the served model scored"
    assert not ranking.results[1].spans


class Listening:
    def __init__(self) -> None:
        self.told: list[Ranked | ReasoningPiece] = []

    def reasoned(self, piece: ReasoningPiece) -> None:
        self.told.append(piece)

    def ranked(self, ranked: Ranked) -> None:
        self.told.append(ranked)


@pytest.mark.parametrize(("keep", "first_stage"), [(2, None), (5, None), (2, True), (5, True)])
async def test_a_listener_is_told_of_every_document_once_as_the_answer_has_it(
    keep: int, first_stage: bool | None
) -> None:
    listening = Listening()
    given_scores = FirstStage((1, 5, 2, 4, 3), 0.5) if first_stage else None
    ranking = await cascade(keep=keep).rank(FIVE, listener=listening, first_stage=given_scores)
    told = {each.index: each for each in listening.told if isinstance(each, Ranked)}
    assert len(listening.told) == 5
    assert told == {result.index: result for result in ranking.results}


async def test_a_batch_ranks_as_its_calls_by_themselves() -> None:
    calls = [
        RerankCall("q", tuple(FIVE), ()),
        RerankCall("q", tuple(FIVE[:2]), (), mode=Mode.REASONING),
        RerankCall("other", tuple(FIVE[::-1]), (), first_stage=FirstStage((5, 4, 3, 2, 1), 0.7)),
        RerankCall("third", ("4|1", "3|9", "2|8"), ()),
    ]
    service = cascade(keep=2)
    together = await service.rank_all(*calls)
    for call, outcome in zip(calls, together, strict=True):
        assert isinstance(outcome, Member)
        alone = await service.rank_call(call)
        assert outcome.ranking.results == alone.results
        assert outcome.ranking.prompt_tokens == alone.prompt_tokens
    late = cascade(ScriptedEngine(stuck=True), keep=2)
    outcomes = await late.rank_all(calls[0], calls[3], timeout_ms=300)
    assert [stages(outcome.ranking) for outcome in outcomes if isinstance(outcome, Member)] == [
        [FIRST] * 5,
        [FIRST] * 3,
    ]
    failing = cascade(ScriptedEngine(log_odds=by_direct, fail_always={"2|8"}), keep=2)
    good, bad = await failing.rank_all(calls[0], calls[3])
    assert isinstance(good, Member)
    assert isinstance(bad, EngineFailed)
    assert bad.indices == (2,)


async def test_in_a_batch_a_fault_behind_the_first_stage_is_its_calls_also_where_no_other_call_gets_there() -> None:
    failing = cascade(ScriptedEngine(log_odds=by_direct, fail_always={"2|8"}), keep=2)
    small, large = RerankCall("q", tuple(FIVE[:2]), ()), RerankCall("third", ("4|1", "3|9", "2|8"), ())
    good, bad = await failing.rank_all(small, large)
    assert isinstance(good, Member)
    assert isinstance(bad, EngineFailed)
    assert bad.indices == (2,)


async def test_a_client_that_leaves_frees_both_engines() -> None:
    first = ScriptedEngine(log_odds=by_first, seconds=0.01)
    service = cascade(first=first, keep=2)
    call = asyncio.create_task(service.rank(FIVE))
    await until(lambda: first.running > 0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    async with asyncio.timeout(PATIENCE):
        await until(lambda: first.running == 0 and not service.first.admission.active)
    assert service.engine.jobs == []


def test_a_fault_of_either_engine_is_the_servers() -> None:
    whole = Lifecycle()
    whole.phase = Phase.READY
    first = FirstStageLifecycle(whole)
    first.engine_fault = "It is stuck."
    assert (whole.ready, whole.reason) == (False, "First stage: It is stuck.")
    whole.engine_fault = None
    assert [whole.ready] == [False], "one engine that is well does not speak for the other"
    first.engine_fault = None
    assert [whole.ready] == [True]
    first.phase = Phase.DEAD
    assert whole.phase is first.phase is Phase.DEAD


async def test_without_a_first_stage_nothing_is_said_of_stages() -> None:
    ranking = await Service(ScriptedEngine(log_odds=by_direct)).rank(FIVE)
    assert stages(ranking) == [None] * 5
    assert not any(dataclasses.asdict(result)["says_status"] for result in ranking.results)
