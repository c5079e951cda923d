"""Prompts that ask for more than a verdict: any answers, reasoning that goes on, and pieces of it as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from contract.reasoning import Status
from service.engine import Begun, Completion, PartialOutput, Prompt
from service.engines.transformers.engine import EngineOptions, TransformersEngine
from service.engines.transformers.model import load_model
from service.models.checkpoint import Checkpoint
from tests.seam import Job, completions, prompts_of
from tests.service.engines.plain_forward import PlainForward, segments_of
from tests.service.engines.transformers.test_engine_traces import Scripted

TOLERANCE = 1e-3
JOB = Job("call", "how do glaciers move", ("Ice flows.", "Trains run on rails."))


@pytest.fixture(scope="module")
def plain(small_checkpoint: Checkpoint) -> PlainForward:
    return PlainForward(small_checkpoint.folder, segments_of(small_checkpoint.folder))


@pytest.fixture
async def engine(small_checkpoint: Checkpoint) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine.load(small_checkpoint, dtype="float32", threads=2)
    yield engine
    await engine.close()


def scripted_engine(checkpoint: Checkpoint, written: list[int]) -> TransformersEngine:
    """One that writes given tokens for the first prompt."""
    options = EngineOptions(threads=2, choose=Scripted({0: written}))
    return TransformersEngine(load_model(checkpoint.folder, "float32"), segments_of(checkpoint.folder), options)


async def test_the_answers_are_log_probabilities_and_their_mass_is_the_sum_of_the_softmax(
    small_checkpoint: Checkpoint, engine: TransformersEngine, plain: PlainForward
) -> None:
    """Of any answers, as many as are asked for, each prompt its own."""
    prompts = await prompts_of(engine, JOB)
    asked = [(*engine.encoder.answers, 30, 260, 5000), (17,)]
    found = await completions(engine, [replace(p, answers=a) for p, a in zip(prompts, asked, strict=True)])
    for prompt, answers, completion in zip(prompts, asked, found, strict=True):
        expected = plain.log_probabilities([*prompt.prefix, *prompt.rest, *plain.segments.close])[list(answers)]
        assert completion.answers == pytest.approx(expected.tolist(), abs=TOLERANCE)
        assert completion.mass == pytest.approx(float(expected.exp().sum()), rel=1e-3)


async def test_reasoning_that_goes_on_ends_in_the_same_answers_as_in_one_pass(engine: TransformersEngine) -> None:
    prompts = await prompts_of(engine, JOB, budget=12)
    whole = await completions(engine, prompts)
    begun = await completions(engine, [replace(prompt, budget=5) for prompt in prompts])
    assert [each.status for each in begun] == [Status.BUDGET] * 2
    rest = await completions(
        engine, [replace(p, written=each.written, budget=7) for p, each in zip(prompts, begun, strict=True)]
    )
    for one, other in zip(whole, rest, strict=True):
        assert (one.status, one.reasoning, one.reasoning_tokens) == (
            other.status,
            other.reasoning,
            other.reasoning_tokens,
        )
        assert list(one.written) == list(other.written)
        assert one.answers == pytest.approx(other.answers, abs=TOLERANCE)
    read = await completions(
        engine, [replace(p, written=each.written, budget=0) for p, each in zip(prompts, begun, strict=True)]
    )
    for one, other in zip(begun, read, strict=True):
        assert one.answers == pytest.approx(other.answers, abs=TOLERANCE), "read again without writing anything"
        assert (one.status, one.reasoning) == (other.status, other.reasoning)


async def test_reasoning_that_the_model_has_ended_is_only_read(
    small_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    written = plain.segments.tokenizer.encode("Ice flows.</think>", add_special_tokens=False).ids
    engine = scripted_engine(small_checkpoint, written)
    (prompt, _) = await prompts_of(engine, JOB, budget=30)
    (made,) = await completions(engine, [prompt])
    (again,) = await completions(engine, [replace(prompt, written=made.written)])
    await engine.close()
    assert (made.status, made.reasoning, list(made.written)) == (Status.COMPLETE, "Ice flows.", written)
    assert (again.status, again.reasoning, list(again.written)) == (Status.COMPLETE, "Ice flows.", written)
    assert again.answers == pytest.approx(made.answers, abs=TOLERANCE)


@pytest.mark.parametrize(
    "text",
    [
        "Ice flows.</think>",
        "Der Föhn — 光合 🙂 a < b",
        "a </ b </thin",
        "x" + " again and" * 40,
    ],
    ids=["closed", "characters of several tokens", "almost closed", "loop"],
)
async def test_pieces_joined_are_the_reasoning(small_checkpoint: Checkpoint, plain: PlainForward, text: str) -> None:
    written = plain.segments.tokenizer.encode(text, add_special_tokens=False).ids
    engine = scripted_engine(small_checkpoint, [*written, 0])
    (prompt, _) = await prompts_of(engine, JOB, budget=len(written) + 1)
    outputs = [output async for output in engine.submit([replace(prompt, stream=True)])]
    await engine.close()
    pieces = [output for output in outputs if isinstance(output, PartialOutput)]
    completion = outputs[-1]
    assert isinstance(completion, Completion)
    assert "".join(piece.text for piece in pieces) == completion.reasoning
    assert all(piece.text for piece in pieces)
    assert len(pieces) > 1
    assert [piece.tokens for piece in pieces] == sorted(piece.tokens for piece in pieces)
    assert [type(output) for output in outputs].count(Begun) == 1
    assert "</think>" not in (completion.reasoning or "")


async def test_without_being_asked_for_no_pieces_come(engine: TransformersEngine) -> None:
    prompts = await prompts_of(engine, JOB, budget=3)
    kinds = [type(output) async for output in engine.submit(prompts)]
    assert sorted(kind.__name__ for kind in kinds) == ["Begun", "Begun", "Completion", "Completion"]


async def test_pieces_of_reasoning_that_goes_on_are_what_is_new(engine: TransformersEngine) -> None:
    prompt: Prompt = (await prompts_of(engine, JOB, budget=4))[0]
    (begun,) = await completions(engine, [prompt])
    going_on = replace(prompt, written=begun.written, stream=True)
    outputs = [output async for output in engine.submit([going_on])]
    new = "".join(output.text for output in outputs if isinstance(output, PartialOutput))
    completion = outputs[-1]
    assert isinstance(completion, Completion)
    assert completion.reasoning == f"{begun.reasoning}{new}"
