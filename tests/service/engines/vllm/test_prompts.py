"""The engine's own protocol: any answers, their mass, reasoning that goes on where it was left, and its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contract.segments import Segments
from tests.service.engines.plain_forward import PlainForward
from tests.service.engines.vllm.engine_process import Asked, EngineProcess, Outputs
from tests.service.engines.vllm.scripted_traces import marker

TOLERANCE = 1e-3
QUERY = "how is influenza treated"


@pytest.fixture(scope="module")
def answers(segments: Segments) -> tuple[int, int, int]:
    """True, false and a third one, none of which is what the scripts write behind the end-of-think tag."""
    (perhaps,) = segments.tokenizer.encode(" maybe", add_special_tokens=False).ids
    return segments.verdict.true, segments.verdict.false, perhaps


def prompt_of(segments: Segments, passage: str) -> list[int]:
    return segments.prompt_ids(QUERY, passage)


def assert_read_after(plain: PlainForward, context: list[int], answers: Sequence[int], outputs: Outputs) -> None:
    """The answers are those that a plain forward pass reads after `context`, and their mass is the sum of them."""
    logprobs = plain.log_probabilities(context)[list(answers)]
    assert outputs.answers == pytest.approx(logprobs.tolist(), abs=TOLERANCE)
    assert outputs.mass == pytest.approx(float(logprobs.exp().sum()), rel=TOLERANCE)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_answers_and_mass_of_direct_prompts(
    engine: EngineProcess, plain: PlainForward, answers: tuple[int, ...], count: int
) -> None:
    segments = plain.segments
    prompts = [prompt_of(segments, passage) for passage in ("Rest and fluids.", "Steam railways.")]
    found = engine.submit(*(Asked(prompt, answers[:count]) for prompt in prompts))
    for prompt, outputs in zip(prompts, found, strict=True):
        assert (outputs.status, outputs.reasoning, outputs.begun) == ("complete", None, 0)
        assert_read_after(plain, segments.context(prompt), answers[:count], outputs)


def test_prompts_of_different_answers_share_a_batch(
    engine: EngineProcess, plain: PlainForward, answers: tuple[int, ...]
) -> None:
    segments = plain.segments
    prompts = [prompt_of(segments, f"Rest and fluids. {n}") for n in range(6)]
    asked = [answers[: n % 3 + 1] for n in range(6)]
    found = engine.submit(*(Asked(*pair) for pair in zip(prompts, asked, strict=True)))
    for prompt, wanted, outputs in zip(prompts, asked, found, strict=True):
        assert_read_after(plain, segments.context(prompt), wanted, outputs)


@pytest.mark.parametrize("name", ["closed", "fused", "ended", "open"])
def test_three_answers_behind_reasoning(
    engine: EngineProcess, plain: PlainForward, answers: tuple[int, ...], name: str
) -> None:
    segments = plain.segments
    prompt = prompt_of(segments, f"Rest and fluids. {marker(name)}")
    (outputs,) = engine.submit(Asked(prompt, answers, budget=40))
    assert outputs.begun == 1
    assert_read_after(plain, segments.context_after(prompt, outputs.written), answers, outputs)


@pytest.mark.parametrize("name", ["closed", "fused", "ended"])
def test_reasoning_that_is_continued_equals_reasoning_in_one_pass(
    engine: EngineProcess, plain: PlainForward, name: str
) -> None:
    """Also where it is left within the end-of-think tag."""
    segments = plain.segments
    words = [segments.verdict.true, segments.verdict.false]
    prompt = prompt_of(segments, f"Rest and fluids. {marker(name)}")
    (whole,) = engine.submit(Asked(prompt, words, budget=60))
    splits = range(1, len(whole.written))
    left = engine.submit(*(Asked(prompt, words, budget=split) for split in splits))
    assert [outputs.status for outputs in left] == ["budget"] * len(splits)
    for split, outputs in zip(splits, left, strict=True):
        assert outputs.written == whole.written[:split]
        assert_read_after(plain, segments.context_after(prompt, outputs.written), words, outputs)
    rests = [Asked(prompt, words, budget=60 - len(each.written), written=each.written) for each in left]
    continued = engine.submit(*rests)
    for outputs in continued:
        assert outputs.answers == pytest.approx(whole.answers, abs=TOLERANCE)
        assert outputs.mass == pytest.approx(whole.mass, rel=TOLERANCE)
        assert outputs.written == whole.written
        assert (outputs.status, outputs.reasoning) == (whole.status, whole.reasoning)
        assert outputs.reasoning_tokens == whole.reasoning_tokens


def test_what_the_model_itself_writes_goes_on_as_in_one_pass(engine: EngineProcess, plain: PlainForward) -> None:
    segments = plain.segments
    words = [segments.verdict.true, segments.verdict.false]
    prompt = prompt_of(segments, "Rest and fluids.")
    (whole,) = engine.submit(Asked(prompt, words, budget=20))
    (half,) = engine.submit(Asked(prompt, words, budget=8))
    (rest,) = engine.submit(Asked(prompt, words, budget=12, written=half.written))
    assert rest.written == whole.written
    assert rest.answers == pytest.approx(whole.answers, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["closed", "ended"])
def test_reasoning_that_is_continued_with_no_budget_is_answered_at_once(
    engine: EngineProcess, plain: PlainForward, name: str
) -> None:
    segments = plain.segments
    words = [segments.verdict.true, segments.verdict.false]
    prompt = prompt_of(segments, f"Rest and fluids. {marker(name)}")
    (whole,) = engine.submit(Asked(prompt, words, budget=60))
    for cut in (3, len(whole.written)):
        (outputs,) = engine.submit(Asked(prompt, words, written=whole.written[:cut]))
        assert outputs.written == whole.written[:cut]
        assert outputs.begun == 0
        assert_read_after(plain, segments.context_after(prompt, whole.written[:cut]), words, outputs)


@pytest.mark.parametrize("name", ["closed", "fused", "ended", "looping", "closing", "open", "empty"])
def test_pieces_join_to_the_whole_reasoning(engine: EngineProcess, segments: Segments, name: str) -> None:
    words = [segments.verdict.true, segments.verdict.false]
    prompt = prompt_of(segments, f"Rest and fluids. {marker(name)}")
    told, silent = engine.submit(Asked(prompt, words, 90, stream=True), Asked(prompt, words, 90))
    assert told.reasoning is not None
    assert "".join(told.pieces) == told.reasoning == silent.reasoning
    assert silent.pieces == []
    assert all(told.pieces)
    if told.reasoning_tokens > 32:
        assert len(told.pieces) > 2, "they were not told as they came"


def test_pieces_of_a_continuation_are_what_is_new(engine: EngineProcess, segments: Segments) -> None:
    words = [segments.verdict.true, segments.verdict.false]
    prompt = prompt_of(segments, f"Rest and fluids. {marker('open')}")
    (half,) = engine.submit(Asked(prompt, words, 20))
    (rest,) = engine.submit(Asked(prompt, words, 40, written=half.written, stream=True))
    assert rest.reasoning is not None
    assert half.reasoning is not None
    assert half.reasoning + "".join(rest.pieces) == rest.reasoning
    assert len(rest.pieces) > 1
