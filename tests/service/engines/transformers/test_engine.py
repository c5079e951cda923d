"""Direct mode: log-odds equal a plain forward pass of one prompt, whatever else is in the batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from contract.reasoning import Status
from contract.verdict import Temperatures
from service.engine import Scoring
from service.engines.transformers.engine import EngineOptions, TransformersEngine
from service.engines.transformers.model import load_model
from service.errors import FixedPartsTooLong, PassageTooLong
from service.lifecycle import Lifecycle
from service.models.checkpoint import Checkpoint
from service.ranking import Mode, Verdict
from service.scheduling.watchdog import Watchdog
from tests.seam import Job, score
from tests.service.engines.plain_forward import PlainForward, segments_of, text

TOLERANCE = 1e-3
LENGTHS = (0, 1, 2, 5, 8, 12, 16, 22, 30, 45)


@pytest.fixture(scope="module")
def plain(small_checkpoint: Checkpoint) -> PlainForward:
    return PlainForward(small_checkpoint.folder, segments_of(small_checkpoint.folder))


@pytest.fixture
async def engine(small_checkpoint: Checkpoint) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine.load(small_checkpoint, threads=2)
    yield engine
    await engine.close()


def engine_with(checkpoint: Checkpoint, options: EngineOptions) -> TransformersEngine:
    return TransformersEngine(load_model(checkpoint.folder, "float32"), segments_of(checkpoint.folder), options)


def job(call: str, query: str, *passages: str) -> Job:
    return Job(call=call, query=query, passages=passages)


def assert_plain(plain: PlainForward, asked: Job, verdicts: list[Verdict]) -> None:
    assert [verdict.index for verdict in verdicts] == list(range(len(asked.passages)))
    for verdict in verdicts:
        expected = plain.direct(asked.query, asked.passages[verdict.index], asked.instruction)
        assert verdict.log_odds == pytest.approx(expected, abs=TOLERANCE)


async def test_interleaved_calls_score_as_one_prompt_at_a_time(engine: TransformersEngine, plain: PlainForward) -> None:
    choose = random.Random(1)
    jobs = [
        job(f"call-{words}", text(choose, words), *(text(choose, n) for n in choose.sample(LENGTHS, 8)))
        for words in (1, 5, 12, 40)
    ]
    answers = await asyncio.gather(*(score(engine, asked) for asked in jobs))
    for asked, verdicts in zip(jobs, answers, strict=True):
        assert_plain(plain, asked, verdicts)
    odds = [verdict.log_odds for verdicts in answers for verdict in verdicts]
    assert max(odds) - min(odds) > 100 * TOLERANCE, "scores that do not differ would prove nothing"


async def test_blank_and_one_token_passages_and_an_instruction(engine: TransformersEngine, plain: PlainForward) -> None:
    asked = Job("call", "what melts ice", ("", " ", "\n", "salt", "\u00a0"), instruction="Only chemistry counts.")
    verdicts = await score(engine, asked)
    assert_plain(plain, asked, verdicts)
    assert all(verdict.status is Status.COMPLETE and verdict.reasoning is None for verdict in verdicts)


async def test_parts_of_long_texts_and_several_batches(small_checkpoint: Checkpoint, plain: PlainForward) -> None:
    choose = random.Random(2)
    engine = engine_with(small_checkpoint, EngineOptions(threads=2, batch_tokens=64))
    jobs = [
        job("long query", text(choose, 120), *(text(choose, n) for n in (3, 40, 110))),
        job("long passages", "glacier", *(text(choose, n) for n in (150, 1, 80))),
    ]
    answers = await asyncio.gather(*(score(engine, asked) for asked in jobs))
    for asked, verdicts in zip(jobs, answers, strict=True):
        assert_plain(plain, asked, verdicts)
    await engine.close()


async def test_the_prefix_is_computed_once_for_all_jobs_of_a_call(
    engine: TransformersEngine, plain: PlainForward
) -> None:
    prompt = plain.segments.prompt
    first, second = job("call", "how do glaciers move", "Ice.", "A rock."), job("call", "how do glaciers move", "Snow.")
    verdicts = [*await score(engine, first), *await score(engine, second)]
    shared = len(prompt.prefix("how do glaciers move"))
    assert sorted(verdict.cached_tokens for verdict in verdicts) == [0, shared, shared]
    assert verdicts[2].cached_tokens == shared
    rests = prompt.rests([*first.passages, *second.passages])
    assert [verdict.prompt_tokens for verdict in verdicts] == [shared + len(rest) for rest in rests]


async def test_prefixes_that_do_not_fit_the_cache_are_computed_again(
    small_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    engine = engine_with(small_checkpoint, EngineOptions(threads=2, prefix_bytes=1))
    for query in ("glacier", "railway", "glacier"):
        asked = job(query, query, "Ice flows.", "Trains run.")
        verdicts = await score(engine, asked)
        assert_plain(plain, asked, verdicts)
        assert min(verdict.cached_tokens for verdict in verdicts) == 0
    await engine.close()


async def test_a_cut_passage_scores_as_its_shorter_text(engine: TransformersEngine, plain: PlainForward) -> None:
    passage = text(random.Random(3), 60)
    cut, whole = await score(engine, Job("call", "railway", (passage, "Short."), passage_tokens=10))
    assert (cut.truncated, whole.truncated) == (True, False)
    kept = next(passage[:n] for n in range(len(passage), 0, -1) if tokens(plain, passage[:n]) == 10)
    assert cut.log_odds == pytest.approx(plain.direct("railway", kept), abs=TOLERANCE)
    (from_left,) = await score(engine, Job("left", "railway", (passage,), passage_tokens=10, cut_left=True))
    assert from_left.truncated
    assert abs(from_left.log_odds - cut.log_odds) > TOLERANCE


def tokens(plain: PlainForward, passage: str) -> int:
    return len(plain.segments.prompt.passage_offsets(passage))


async def test_what_does_not_fit_is_refused_in_a_sentence(small_checkpoint: Checkpoint) -> None:
    engine = engine_with(small_checkpoint, EngineOptions(threads=2, max_model_tokens=256))
    long = text(random.Random(4), 400)
    with pytest.raises(FixedPartsTooLong, match=r"the model has 256; shorten the query") as fixed:
        await score(engine, job("call", long, "Ice."))
    assert fixed.value.field == "query"
    with pytest.raises(PassageTooLong, match=r"Document 1 has more than the \d+ tokens"):
        await score(engine, Job("call", "ice", ("Ice.", long), truncate=False))
    with pytest.raises(PassageTooLong, match=r"more than the 5 tokens"):
        await score(
            engine, Job("call", "ice", ("Ice flows because of its own weight.",), passage_tokens=5, truncate=False)
        )
    with pytest.raises(FixedPartsTooLong, match="and 128 for the trace"):
        await score(engine, job("call", text(random.Random(5), 90), "Ice."), Mode.REASONING, 250)
    (verdict,) = await score(engine, job("call", "ice", long))
    assert verdict.truncated
    assert verdict.prompt_tokens <= 256
    await engine.close()


async def test_a_query_of_ten_megabytes_is_refused_at_once(engine: TransformersEngine) -> None:
    """By its characters, which are told where its tokens were not counted."""
    with pytest.raises(FixedPartsTooLong, match="10000000 characters"):
        await score(engine, job("call", "ice " * 2_500_000, "Ice."))


async def test_the_temperature_divides_the_log_odds(small_checkpoint: Checkpoint, plain: PlainForward) -> None:
    raw, fitted = engine_with(small_checkpoint, EngineOptions(threads=2)), Temperatures(4.0, 8.0)
    asked = job("call", "ice", "Ice flows.")
    (direct,) = await score(raw, asked, temperatures=fitted)
    (reasoned,) = await score(raw, asked, Mode.REASONING, budget=8, temperatures=fitted)
    assert direct.log_odds == pytest.approx(plain.direct("ice", "Ice flows.") / 4, abs=TOLERANCE)
    (same,) = await score(raw, asked, Mode.REASONING, budget=8)
    await raw.close()
    assert reasoned.reasoning_tokens == same.reasoning_tokens > 0
    assert reasoned.log_odds == pytest.approx(same.log_odds / 8, abs=TOLERANCE)


async def test_what_the_engine_says_of_itself(engine: TransformersEngine) -> None:
    await Watchdog(engine, Lifecycle(), lambda _: None).warm_up()
    able = engine.capabilities
    assert (able.engine, able.dtype, able.device) == ("transformers", "float32", "cpu")
    assert able.scoring == frozenset(Scoring)
    assert (able.max_model_tokens, able.window) == (8192, 64)
    assert (await engine.health()).ready
