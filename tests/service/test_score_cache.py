"""The cache of scores: bounded in bytes, the same answers as without it, and nothing shared between keys."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contract.reasoning import Status
from service.engine import Scoring
from service.errors import ClientLeft, DeadlineExceeded, EngineFailed, PassageTooLong, TooManyRequests, Unavailable
from service.lifecycle import Phase
from service.ranking import (
    Chunk,
    Key,
    LongDocuments,
    Mode,
    Ranked,
    Ranking,
    ReasoningPiece,
    RerankCall,
    Span,
    SpansWanted,
    Verdict,
)
from service.stages.score_cache import ENTRY_BYTES, ScoreCache
from service.wire.cohere_answer import CohereAnswer
from tests.fakes import ScriptedEngine
from tests.service import reranking
from tests.service.api.streams.reading import LINES, arriving
from tests.service.api.streams.writing import WritingEngine
from tests.service.reranking import KEY
from tests.service.serving import guarded_service, serving, waiting_client
from tests.service.test_batch import CuttingEncoder
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE, until, wait_until

PASSAGES = st.sampled_from(["red", "green apple", "pie", "red apple pie", "", "  "])
HITS = 'limrank_score_cache_documents_total{outcome="hit"'
CALLS = st.tuples(
    st.lists(PASSAGES, min_size=1, max_size=6), st.none() | st.floats(0, 1), st.none() | st.integers(1, 3)
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBERS
WHOLE = st.integers(0, 2**32 - 1)
CHUNKS = st.builds(Chunk, WHOLE, WHOLE)


class Service(reranking.Service[ScriptedEngine]):
    """One with a cache."""

    def __init__(self, engine: ScriptedEngine | None = None, limit: int = 1 << 20, **defaults: Any) -> None:
        self.scores = ScoreCache(limit)
        super().__init__(engine or ScriptedEngine(), cache=self.scores, **defaults)

    async def ranked(self, *passages: str, query: str = "red apple", **fields: Any) -> Ranking:
        return await self.rank(passages, query=query, **fields)

    @property
    def scored(self) -> list[str]:
        """What the engine was asked for."""
        return [passage for job in self.engine.jobs for passage in job.passages]

    def looked_up(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value("limrank_score_cache_documents_total", {"outcome": outcome})
        assert value is not None
        return value


def hits(ranking: Ranking) -> list[int]:
    return sorted(result.index for result in ranking.results if result.cached)


def comparable(ranking: Ranking) -> Any:
    """Without what tells that it was known."""
    results = tuple(dataclasses.replace(result, cached=False) for result in ranking.results)
    return results, ranking.warnings, ranking.prompt_tokens, ranking.below_min_score, ranking.score_kind


@settings(deadline=None, max_examples=60)
@given(
    calls=st.lists(
        st.tuples(
            st.lists(PASSAGES, min_size=1, max_size=6), st.none() | st.floats(0, 1), st.none() | st.integers(1, 3)
        ),
        min_size=1,
        max_size=6,
    ),
    limit=st.sampled_from([1, 3 * ENTRY_BYTES, 1 << 20]),
)
async def test_answers_are_the_same_with_and_without_it(calls: list[tuple[list[str], Any, Any]], limit: int) -> None:
    service = Service(limit=limit)
    for passages, least, top in calls:
        found = await service.ranked(*passages, min_score=least, top_n=top)
        alone = await Service().ranked(*passages, min_score=least, top_n=top)
        assert comparable(found) == comparable(alone)
        assert len(service.scores) * ENTRY_BYTES <= max(limit, ENTRY_BYTES)
    assert service.looked_up("hit") + service.looked_up("miss") == sum(len(passages) for passages, _, _ in calls)


async def test_only_what_is_not_known_is_scored() -> None:
    service = Service()
    assert hits(await service.ranked("a", "b")) == []
    again = await service.ranked("b", "c", "a")
    assert service.scored == ["a", "b", "c"]
    assert hits(again) == [0, 2]
    assert again.cached_tokens == 20 + 2 * 50, "of what was known no token was computed again"
    assert again.prompt_tokens == 150
    assert hits(await service.ranked("a", "b", "c")) == [0, 1, 2]
    assert service.scored == ["a", "b", "c"]
    assert (service.looked_up("hit"), service.looked_up("miss")) == (5, 3)


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({"query": "another"}, False),
        ({"instruction": "Be strict."}, False),
        ({"max_tokens_per_doc": 7}, False),
        ({"cut_left": True}, False),
        ({"long_documents": LongDocuments.CHUNK}, False),
        ({"max_chunks_per_doc": 2}, False),
        ({"spans": SpansWanted(0.1)}, False),
        ({"truncate": False}, False),
        ({"key": Key("another")}, False),
        ({"mode": Mode.REASONING}, False),
        ({"mode": Mode.DIRECT}, True),
        ({"top_n": 1}, True),
        ({"min_score": 0.0}, True),
        ({"priority": 0}, True),
        ({"return_label_mass": True}, True),
        ({"return_reasoning": True}, True),
        ({"model": "another name"}, True),
    ],
)
async def test_what_changes_a_score_is_a_part_of_its_name(changed: dict[str, Any], known: bool) -> None:
    service = Service()
    await service.ranked("a")
    assert hits(await service.ranked("a", **changed)) == ([0] if known else [])


class Told:
    """What a listener is told."""

    def __init__(self) -> None:
        self.ranks: list[tuple[int, bool]] = []

    def reasoned(self, piece: ReasoningPiece) -> None:
        raise AssertionError

    def ranked(self, ranked: Ranked) -> None:
        self.ranks.append((ranked.index, ranked.cached))


async def test_a_streamed_call_is_told_of_every_document_once() -> None:
    service, told = Service(), Told()
    await service.ranked("a", "c")
    call = RerankCall(query="red apple", passages=("a", "b", "c", "d"), documents=())
    for known in ({0, 2}, {0, 1, 2, 3}):
        told.ranks.clear()
        now = time.monotonic()
        await service.reranker.rank(call, key=KEY, received=now, timeout_ms=None, listener=told)
        assert sorted(told.ranks) == [(index, index in known) for index in range(4)]


Ends = Callable[["asyncio.Task[Ranking]", asyncio.Event], object]
ENDS: dict[str, Ends] = {"cancelled": lambda call, left: call.cancel(), "left": lambda call, left: left.set()}


class Halfway(Told):
    """Ends a call behind so many of its verdicts."""

    def __init__(self, verdicts: int) -> None:
        super().__init__()
        self.verdicts = verdicts
        self.end: Callable[[], object] = lambda: None

    def ranked(self, ranked: Ranked) -> None:
        super().ranked(ranked)
        if len(self.ranks) == self.verdicts:
            self.end()


async def cut_short(service: Service, passages: Sequence[str], behind: int, how: str, **fields: Any) -> bool:
    """Has a call ended behind so many verdicts; False where it was answered before it noticed."""
    listener, left = Halfway(behind), asyncio.Event()

    async def leaves() -> None:
        await left.wait()

    call = asyncio.create_task(service.ranked(*passages, leaves=leaves, listener=listener, **fields))
    listener.end = lambda: ENDS[how](call, left)
    try:
        await call
    except (asyncio.CancelledError, ClientLeft):
        return True
    return False


@pytest.mark.parametrize("how", ENDS)
async def test_a_call_that_ends_halfway_leaves_nothing_behind(how: str) -> None:
    service = Service(WritingEngine())
    await service.ranked("known")
    held = service.scores.held_bytes
    assert await cut_short(service, ["a", "known", "b", "stop", "c"], 2, how)
    assert (len(service.scores), service.scores.held_bytes) == (1, held)
    await until(lambda: service.engine.running == 0)
    assert service.admission.active == 0
    again = await service.ranked("a", "known", "b", "c")
    assert hits(again) == [1]
    assert comparable(again) == comparable(await Service().ranked("a", "known", "b", "c"))


async def test_a_late_call_and_a_failed_one_leave_nothing_behind() -> None:
    service = Service(WritingEngine(fail_always={"poison"}))
    with pytest.raises(DeadlineExceeded):
        await service.ranked("a", "stop", timeout_ms=50)
    with pytest.raises(EngineFailed):
        await service.ranked("a", "poison")
    assert service.scores.held_bytes == 0
    assert hits(await service.ranked("a")) == []


async def test_of_two_calls_with_the_same_documents_the_one_that_goes_on_is_remembered() -> None:
    engine = WritingEngine()
    service = Service(engine)
    other = asyncio.create_task(service.ranked("a", "stop"))
    assert await cut_short(service, ["a", "stop"], 1, "cancelled")
    assert len(service.scores) == 0
    engine.go.set()
    answered = await other
    again = await service.ranked("a", "stop")
    assert hits(again) == [0, 1]
    assert comparable(again) == comparable(answered)


@settings(deadline=None, max_examples=60)
@given(
    calls=st.lists(
        st.tuples(st.lists(PASSAGES, min_size=1, max_size=6), st.integers(1, 6), st.sampled_from([None, *ENDS])),
        min_size=1,
        max_size=6,
    ),
    chunks=st.booleans(),
    limit=st.sampled_from([3 * ENTRY_BYTES, 1 << 20]),
)
async def test_answers_behind_calls_that_ended_halfway_are_right(
    calls: list[tuple[list[str], int, str | None]], chunks: bool, limit: int
) -> None:
    service = Service(limit=limit)
    fields: dict[str, Any] = {"long_documents": LongDocuments.CHUNK if chunks else LongDocuments.TRUNCATE}
    for passages, behind, how in calls:
        if how is not None:
            await cut_short(service, passages, behind, how, **fields)
        found = await service.ranked(*passages, **fields)
        assert comparable(found) == comparable(await Service().ranked(*passages, **fields))
    await until(lambda: service.engine.running == 0)
    assert service.admission.active == 0


async def test_documents_that_are_read_in_windows_are_known_with_their_chunk() -> None:
    service = Service()
    long = "A red apple. " * 3
    first = await service.ranked(long, long_documents=LongDocuments.CHUNK)
    second = await service.ranked(long, long_documents=LongDocuments.CHUNK)
    assert hits(second) == [0]
    assert first.results[0].chunk == second.results[0].chunk


async def test_the_servers_defaults_count_as_what_they_are() -> None:
    service = Service(tokens_per_doc=7)
    await service.ranked("a")
    assert hits(await service.ranked("a", max_tokens_per_doc=7)) == []
    assert hits(await service.ranked("a")) == [0]


async def test_reasoning_is_neither_kept_nor_looked_up() -> None:
    service = Service()
    for _ in range(2):
        assert hits(await service.ranked("a", mode=Mode.REASONING)) == []
    assert (len(service.scores), service.looked_up("miss")) == (0, 0)
    assert {job.scoring for job in service.engine.jobs} == {Scoring.REASONING}


async def test_a_keys_limit_counts_what_is_known_too() -> None:
    service, key = Service(), Key("k", documents_per_minute=5)
    await service.ranked("a", "b", key=key)
    await service.ranked("a", "b", key=key)
    with pytest.raises(TooManyRequests):
        await service.ranked("a", "b", key=key)


async def test_a_refused_call_gives_back_what_it_took() -> None:
    service, key = Service(ScriptedEngine(encoder=CuttingEncoder())), Key("k", documents_per_minute=4)
    await service.ranked("a", key=key, truncate=False)
    with pytest.raises(PassageTooLong) as refused:
        await service.ranked("a", "much too long", key=key, truncate=False)
    assert refused.value.index == 1, "in the whole call"
    await service.ranked("a", "a", "a", key=key, truncate=False)


async def test_a_server_that_stops_answers_nothing_from_it() -> None:
    service = Service()
    await service.ranked("a")
    service.lifecycle.phase = Phase.DRAINING
    with pytest.raises(Unavailable):
        await service.ranked("a")


async def test_a_document_that_the_engine_fails_on_is_named_in_the_whole_call() -> None:
    service = Service(ScriptedEngine(fail_always={"poison"}))
    await service.ranked("a", "b")
    with pytest.raises(EngineFailed, match="document 2") as failed:
        await service.ranked("a", "b", "poison")
    assert failed.value.indices == (2,)


async def test_truncated_documents_are_still_said_to_be() -> None:
    service = Service(ScriptedEngine(encoder=CuttingEncoder()))
    first = await service.ranked("a", "much too long")
    second = await service.ranked("a", "much too long")
    assert first.warnings == second.warnings == ("1 of 2 documents were truncated: 1.",)
    assert hits(second) == [0, 1]


def test_the_oldest_go_first_and_a_hit_makes_young() -> None:
    cache = ScoreCache(3 * ENTRY_BYTES)
    names = cache.names("context", ["a", "b", "c", "d"])
    for number, name in enumerate(names[:3]):
        cache.put(name, verdict(number))
    assert cache.get(names[0], 9) is not None
    cache.put(names[3], verdict(3))
    assert [cache.get(name, 0) is not None for name in names] == [True, False, True, True]
    assert cache.held_bytes == 3 * ENTRY_BYTES


def verdict(log_odds: float, **more: Any) -> Verdict:
    plain = Verdict(
        index=0,
        log_odds=float(log_odds),
        status=Status.COMPLETE,
        reasoning=None,
        prompt_tokens=300,
        cached_tokens=0,
        reasoning_tokens=0,
        truncated=False,
    )
    return dataclasses.replace(plain, **more)


@given(
    NUMBERS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.booleans(),
    WHOLE,
    st.none() | CHUNKS,
    st.sampled_from([None, 0]),
)
def test_a_verdict_comes_back_as_it_was(
    log_odds: float,
    relevance: float | None,
    mass: float | None,
    truncated: bool,
    tokens: int,
    chunk: Chunk | None,
    told: int | None,
) -> None:
    cache = ScoreCache(ENTRY_BYTES)
    given_ = verdict(log_odds, own_relevance=relevance, label_mass=mass, truncated=truncated, prompt_tokens=tokens)
    given_ = dataclasses.replace(given_, chunk=chunk, told_tokens=told)
    [name] = cache.names("context", ["a"])
    cache.put(name, given_)
    found = cache.get(name, 5)
    assert found == dataclasses.replace(given_, index=5, cached_tokens=tokens, cached=True)


def test_what_cannot_be_kept_is_not() -> None:
    cache = ScoreCache(ENTRY_BYTES)
    [name] = cache.names("context", ["a"])
    cache.put(name, verdict(1, reasoning="Because."))
    cache.put(name, verdict(1, status=Status.BUDGET))
    cache.put(name, verdict(1, reasoning_tokens=3))
    cache.put(name, verdict(1, spans=(Span(0, 5, 0.9),)))
    assert len(cache) == 0


def test_it_takes_no_more_memory_than_it_says() -> None:
    """Twice over, so that what is dropped is counted as dropped."""
    limit = 8 << 20
    tracemalloc.start()
    cache = ScoreCache(limit)
    for begin in range(0, 2 * limit // ENTRY_BYTES, 1000):
        for number, name in enumerate(cache.names("context", map(str, range(begin, begin + 1000)))):
            cache.put(name, verdict(begin + number, own_relevance=0.5 + number / 3000, label_mass=0.25))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert limit - ENTRY_BYTES < cache.held_bytes <= limit
    assert limit / 2 < held <= limit, f"{held} bytes"


def test_two_processes_name_a_score_differently() -> None:
    assert ScoreCache(1).names("context", ["a"]) != ScoreCache(1).names("context", ["a"])


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with open_service(score_cache_bytes=1 << 20) as url, httpx.Client(base_url=url) as client:
        yield client


def test_a_result_says_that_it_was_known(client: httpx.Client) -> None:
    body = {"query": "an apple", "documents": ["a blue sky", "a red apple"]}
    first = TypeAdapter(CohereAnswer).validate_json(client.post("/rerank", json=body).content, strict=True)
    body["documents"] = ["a red apple", "a pie"]
    second = TypeAdapter(CohereAnswer).validate_json(client.post("/rerank", json=body).content, strict=True)
    assert all("cached" not in result for result in first["results"])
    assert {result["index"]: result.get("cached") for result in second["results"]} == {0: True, 1: None}
    assert second["usage"]["cached_tokens"] == 50 + 20


def test_the_other_shapes_are_answered_from_it_and_say_nothing(client: httpx.Client) -> None:
    for body in (
        {"query": "tea", "texts": ["green tea", "a car"]},
        {"query": {"text": "tea"}, "passages": [{"text": "green tea"}, {"text": "a car"}]},
    ):
        answer = client.post("/rerank", json=body)
        assert b"cached" not in answer.content.replace(b"cached_tokens", b"")
    page = client.get("/metrics").text
    counted = next(
        line for line in page.splitlines() if line.startswith('limrank_score_cache_documents_total{outcome="hit"')
    )
    assert float(counted.split()[1]) >= 2
    assert f"limrank_score_cache_bytes {float(ENTRY_BYTES)}" not in page
    assert "limrank_score_cache_bytes 0.0" not in page


def test_keys_are_apart(tmp_path: Path) -> None:
    keys = tmp_path / "both.toml"
    keys.write_text(
        "".join(f'[[keys]]\nname = "{name}"\nsecret = "a-secret-of-{name}-0123"\n' for name in ("one", "two"))
    )
    service = guarded_service(tmp_path, score_cache_bytes=1 << 20, keys_file=keys)
    with serving(service.app) as url, httpx.Client(base_url=url) as client:
        body = {"query": "a", "documents": ["a"]}
        seen = []
        for name in ("one", "two", "one", "two"):
            headers = {"Authorization": f"Bearer a-secret-of-{name}-0123"}
            seen.append(client.post("/rerank", json=body, headers=headers).json()["results"][0].get("cached"))
    assert seen == [None, None, True, True]


@pytest.mark.parametrize("headers", [LINES, {}])
def test_a_client_that_leaves_halfway_leaves_no_score_and_no_byte_behind(headers: dict[str, str]) -> None:
    engine = WritingEngine()
    body = {"query": "red apple", "documents": ["red", "stop"]}
    with open_service(engine, score_cache_bytes=1 << 20) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        if headers:
            with client.stream("POST", "/rerank", json=body, headers=headers) as answer:
                events = arriving(answer)
                assert next(events)["index"] == 0
        else:
            with waiting_client(url, "/rerank", body):
                wait_until(lambda: engine.running == 1, "the first verdict")
        wait_until(lambda: engine.running == 0, "the documents to leave the engine")
        page = ""

        def counted() -> bool:
            nonlocal page
            page = client.get("/metrics").text
            return 'limrank_requests_total{code="499",route="/rerank",shape="cohere"} 1.0' in page

        wait_until(counted, "the call to be counted", 0.02)
        assert "limrank_score_cache_bytes 0.0" in page
        assert "limrank_held_bytes 0.0" in page
        engine.let_go()
        first, second = (client.post("/rerank", json=body).json()["results"] for _ in range(2))
        assert not any("cached" in result for result in first)
        assert second == [result | {"cached": True} for result in first]


def test_off_by_default() -> None:
    with open_service() as url, httpx.Client(base_url=url) as client:
        for _ in range(2):
            answer = client.post("/rerank", json={"query": "a", "documents": ["a"]}).json()
            assert "cached" not in answer["results"][0]
        assert "limrank_score_cache_bytes 0.0" in client.get("/metrics").text
