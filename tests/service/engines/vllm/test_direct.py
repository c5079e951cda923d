"""Direct mode: log-odds are those of the transformers engine, alone and in any batch, and a prefix is computed once."""

from __future__ import annotations

import asyncio
import itertools
import random

import httpx
import pytest

from contract.segments import Segments
from service.engines.transformers.engine import TransformersEngine
from service.models.checkpoint import Checkpoint
from tests.processes import ServerProcess
from tests.seam import Job, score
from tests.service.engines.plain_forward import text
from tests.service.engines.vllm.serving import BLOCK, grown, series
from tests.waiting import PATIENCE

TOLERANCE = 1e-3
PROMPT_COUNTERS = ("vllm:prompt_tokens_total", "vllm:prompt_tokens_cached_total")
QUERIES = (
    "how is influenza treated",
    "when did the first steam railway open?",
    "Why do glaciers move?",
    "fixed or variable mortgage",
    "what does ownership mean in Rust",
    "Was ist Föhn?",
    "photosynthesis",
    "SELECT area FROM circles WHERE r > 3",
)
LENGTHS = (0, 1, 3, 6, 9, 12, 16, 20, 24, 28, 32, 36, 40, 45, 50, 60, 70, 5, 7, 15, 18, 22, 26, 33, 55)


async def raw_scores(client: httpx.AsyncClient, query: str, texts: list[str]) -> list[float]:
    """The log-odds of every text, in their order."""
    answer = await client.post("/rerank", json={"query": query, "texts": texts, "raw_scores": True})
    assert answer.status_code == 200, answer.text
    return [each["score"] for each in sorted(answer.json(), key=lambda each: int(each["index"]))]


@pytest.fixture(scope="module")
def jobs() -> list[tuple[str, list[str]]]:
    """Two hundred prompts: eight queries of 25 passages each, of none to 70 words."""
    choose = random.Random(7)
    return [(query, [text(choose, words) for words in LENGTHS]) for query in QUERIES]


@pytest.fixture(scope="module")
def expected(small_checkpoint: Checkpoint, jobs: list[tuple[str, list[str]]]) -> list[list[float]]:
    async def scored() -> list[list[float]]:
        engine = TransformersEngine.load(small_checkpoint, dtype="float32", threads=2)
        temperatures = small_checkpoint.manifest.temperatures
        made = [Job(query, query, tuple(texts)) for query, texts in jobs]
        answers = [await score(engine, job, temperatures=temperatures) for job in made]
        await engine.close()
        return [[verdict.log_odds for verdict in verdicts] for verdicts in answers]

    return asyncio.run(scored())


async def test_log_odds_equal_the_transformers_engines_in_one_batch_of_all(
    running: ServerProcess, jobs: list[tuple[str, list[str]]], expected: list[list[float]]
) -> None:
    async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE) as client:
        answers = await asyncio.gather(*(raw_scores(client, query, texts) for query, texts in jobs))
    got, wanted = (list(itertools.chain.from_iterable(each)) for each in (answers, expected))
    errors = [abs(a - b) for a, b in zip(got, wanted, strict=True)]
    assert len(errors) == 200
    assert max(errors) < TOLERANCE
    assert max(wanted) - min(wanted) > 1000 * TOLERANCE, "scores that do not differ would prove nothing"


async def test_log_odds_equal_the_transformers_engines_alone(
    running: ServerProcess, jobs: list[tuple[str, list[str]]], expected: list[list[float]]
) -> None:
    async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE) as client:
        for (query, texts), wanted in zip(jobs, expected, strict=True):
            for at in (1, 9, 24):
                (got,) = await raw_scores(client, query, [texts[at]])
                assert got == pytest.approx(wanted[at], abs=TOLERANCE)


async def test_two_calls_of_long_queries_prefill_each_query_once(running: ServerProcess, segments: Segments) -> None:
    choose = random.Random(11)
    queries = [text(choose, 160), text(choose, 200)]
    calls = [(query, [text(choose, 12) for _ in range(50)]) for query in queries]
    allowed = 0
    for query, texts in calls:
        allowed += len(segments.prompt.prefix(query))
        allowed += sum(len(rest) + len(segments.close) + BLOCK for rest in segments.prompt.rests(texts))
    before = series(running, *PROMPT_COUNTERS)
    async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE) as client:
        await asyncio.gather(*(raw_scores(client, query, texts) for query, texts in calls))
    assert computed(running, before) <= 1.1 * allowed


async def test_a_hundred_documents_prefill_a_long_query_once(running: ServerProcess, segments: Segments) -> None:
    choose = random.Random(13)
    query, texts = text(choose, 260), [text(choose, 14) for _ in range(100)]
    prefix = len(segments.prompt.prefix(query))
    rests = [len(rest) + len(segments.close) for rest in segments.prompt.rests(texts)]
    before = series(running, *PROMPT_COUNTERS)
    answer = running.rerank({"query": query, "documents": texts})
    assert answer.status_code == 200
    assert computed(running, before) <= 1.1 * (prefix + sum(rests) + BLOCK * len(texts))
    tokens = answer.json()["usage"]
    assert tokens["prompt_tokens"] == 100 * (prefix - len(segments.close)) + sum(rests)
    assert tokens["cached_tokens"] >= 99 * (prefix - BLOCK)


def computed(running: ServerProcess, before: dict[str, float]) -> float:
    """Prompt tokens that vLLM computed since, by its own counters."""
    counts = grown(before, series(running, *PROMPT_COUNTERS))
    return counts["vllm:prompt_tokens_total"] - counts["vllm:prompt_tokens_cached_total"]
