"""Reasoning mode: traces are those a plain loop writes, and the verdict is read after them, however they end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from contract.reasoning import Reader, Status
from service.engine import Completion
from service.engines.causal.requests import requests_of
from service.engines.submission import Submission
from service.engines.transformers.decoder import Generation, NextToken, greedy
from service.engines.transformers.engine import EngineOptions, TransformersEngine, runner_of
from service.engines.transformers.model import ModelRunner, load_model
from service.models.checkpoint import Checkpoint
from service.ranking import Mode, Verdict
from tests.seam import Job, prompts_of, score
from tests.service.engines.plain_forward import PlainForward, segments_of, text

TOLERANCE = 1e-3
END_IDS = (0, 1, 2)  # SmolLM2: <|endoftext|>, <|im_start|>, <|im_end|>
QUERY = "how do glaciers move"


@pytest.fixture(scope="module")
def plain(small_checkpoint: Checkpoint) -> PlainForward:
    return PlainForward(small_checkpoint.folder, segments_of(small_checkpoint.folder))


class Scripted:
    """Chooses for document `i` the tokens of `scripts[i]` one after another, whatever the model would choose."""

    def __init__(self, scripts: Mapping[int, Sequence[int]]) -> None:
        self.scripts = scripts

    def __call__(self, logits: Tensor, generations: Sequence[Generation]) -> list[int]:
        return [self.scripts[each.request.index][len(each.written)] for each in generations]


def engine_of(checkpoint: Checkpoint, choose: NextToken = greedy, generations: int = 64) -> TransformersEngine:
    options = EngineOptions(threads=2, generations=generations, choose=choose)
    return TransformersEngine(load_model(checkpoint.folder, "float32"), segments_of(checkpoint.folder), options)


def ids(plain: PlainForward, written: str) -> list[int]:
    encoded: list[int] = plain.segments.tokenizer.encode(written, add_special_tokens=False).ids
    return encoded


class Recorded:
    """Chooses as the engine does by default, and keeps what each document's trace was."""

    def __init__(self) -> None:
        self.written: dict[tuple[str, int], list[int]] = {}

    def __call__(self, logits: Tensor, generations: Sequence[Generation]) -> list[int]:
        for each in generations:
            self.written[each.request.prompt.call, each.request.index] = each.written
        return greedy(logits, generations)


def assert_greedy(plain: PlainForward, job: Job, verdict: Verdict, written: list[int], budget: int) -> None:
    """The trace is what the model itself writes after the prompt, and the verdict is read after it."""
    prompt = plain.segments.prompt_ids(job.query, job.passages[verdict.index])
    *before_last, last = plain.choices(prompt, written)
    assert before_last == written
    assert verdict.status is (Status.BUDGET if len(written) == budget else Status.END_OF_TEXT)
    assert len(written) == budget or last in END_IDS
    assert verdict.reasoning == plain.segments.trace_text(written)
    assert verdict.reasoning_tokens == len(written)
    expected = plain.log_odds(plain.segments.context(prompt, written))
    assert verdict.log_odds == pytest.approx(expected, abs=TOLERANCE)


async def test_traces_of_several_calls_are_those_of_a_plain_loop(
    small_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    recorded = Recorded()
    engine = engine_of(
        small_checkpoint, recorded, generations=3
    )  # fewer than documents: they leave and join as they go
    choose = random.Random(6)
    jobs = [Job(f"call-{n}", text(choose, 5 * n), tuple(text(choose, m) for m in (0, 7, 25))) for n in (1, 4)]
    answers = await asyncio.gather(*(score(engine, job, Mode.REASONING, 14) for job in jobs))
    await engine.close()
    for job, verdicts in zip(jobs, answers, strict=True):
        for verdict in verdicts:
            assert_greedy(plain, job, verdict, recorded.written[job.call, verdict.index], 14)


async def test_every_way_a_trace_ends_keeps_its_context(small_checkpoint: Checkpoint, plain: PlainForward) -> None:
    looping = ids(plain, " the ice") * 60
    written = [
        ids(plain, "\nIce flows.</think>"),  # closed by the model; on this tokenizer the full stop is its own token
        ids(plain, "It does not say."),
        [*ids(plain, "Unsure"), END_IDS[2]],
        looping,
        [END_IDS[0]],
    ]
    scripts = {index: [*script, *looping] for index, script in enumerate(written)}
    scripts[1] = ids(plain, "".join(f" word{n}" for n in range(60)))
    engine = engine_of(small_checkpoint, Scripted(scripts))
    passages = ("Ice flows.", "Trains run.", "Snow falls.", "Rocks.", "Water.")
    verdicts = await score(engine, Job("call", QUERY, passages), Mode.REASONING, 80)
    await engine.close()
    statuses = [Status.COMPLETE, Status.BUDGET, Status.END_OF_TEXT, Status.REPETITION, Status.END_OF_TEXT]
    assert [verdict.status for verdict in verdicts] == statuses
    traces = [verdict.reasoning for verdict in verdicts]
    assert (traces[0], traces[2], traces[4]) == ("\nIce flows.", "Unsure", "")
    for verdict in verdicts:
        kept = scripts[verdict.index][: len(written[0]) if verdict.index == 0 else verdict.reasoning_tokens]
        prompt = plain.segments.prompt_ids(QUERY, passages[verdict.index])
        expected = plain.log_odds(plain.segments.context_after(prompt, kept))
        assert verdict.log_odds == pytest.approx(expected, abs=TOLERANCE)
    assert verdicts[0].reasoning_tokens == len(ids(plain, "\nIce flows."))
    assert verdicts[1].reasoning_tokens == 80
    assert verdicts[3].reasoning_tokens < 60, "a loop is noticed long before the budget is spent"


async def test_a_budget_of_nothing_is_a_direct_verdict(small_checkpoint: Checkpoint, plain: PlainForward) -> None:
    engine = engine_of(small_checkpoint)
    (verdict,) = await score(engine, Job("call", QUERY, ("Ice flows.",)), Mode.REASONING, 0)
    await engine.close()
    assert (verdict.status, verdict.reasoning, verdict.reasoning_tokens) == (Status.BUDGET, "", 0)
    assert verdict.log_odds == pytest.approx(plain.direct(QUERY, "Ice flows."), abs=TOLERANCE)


PASS = 0.05  # seconds of the clock that a pass of the model takes


class Ticking:
    """A clock that moves by the model's passes alone."""

    def __init__(self, model: Any) -> None:
        self.now = 1000.0
        model.base_model.register_forward_pre_hook(self._tick)

    def __call__(self) -> float:
        return self.now

    def _tick(self, *_: object) -> None:
        self.now += PASS


async def test_near_a_deadline_traces_are_closed_and_those_not_begun_are_direct(
    small_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    endless = ids(plain, "".join(f" word{n}" for n in range(2000)))
    options = EngineOptions(generations=2, choose=Scripted(dict.fromkeys(range(4), endless)))
    model, segments = load_model(small_checkpoint.folder, "float32"), plain.segments
    clock, reader = Ticking(model), Reader(segments, ())
    runner = runner_of(ModelRunner(model), segments, reader, options, clock)
    encoding = engine_of(small_checkpoint)
    passages = ("Ice flows.", "Trains run.", "Snow falls.", "Rocks.")

    async def run(call: str, budget: int, deadline: float | None = None) -> list[Completion]:
        submission = Submission(len(passages))
        prompts = await prompts_of(encoding, Job(call, QUERY, passages), budget, deadline)
        runner.add(requests_of(submission, prompts, segments.close, reader))
        with torch.inference_mode():
            while runner.has_work:
                runner.run_once()
        found = [output async for output in submission.outputs() if isinstance(output, Completion)]
        return sorted(found, key=lambda completion: completion.index)

    await run("first", 4)  # so that it knows how fast it is
    deadline = clock() + 40 * PASS
    completions = await run("call", 4000, deadline)
    await encoding.close()
    assert [each.status for each in completions] == [Status.DEADLINE] * 4
    begun = [each for each in completions if each.reasoning_tokens]
    direct = [each for each in completions if not each.reasoning_tokens]
    assert len(begun) == len(direct) == 2
    assert min(each.reasoning_tokens for each in begun) > 10, "the time that there is is used"
    assert clock() - deadline <= 2 * PASS
    for each in direct:
        assert each.reasoning == ""
        assert log_odds(each) == pytest.approx(plain.direct(QUERY, passages[each.index]), abs=TOLERANCE)
    for each in begun:
        prompt = segments.prompt_ids(QUERY, passages[each.index])
        context = segments.context(prompt, endless[: each.reasoning_tokens])
        assert log_odds(each) == pytest.approx(plain.log_odds(context), abs=TOLERANCE)


def log_odds(completion: Completion) -> float:
    true, false = completion.answers
    return true - false


async def test_what_a_deadline_hurries_does_not_wait_for_its_share_of_time(small_checkpoint: Checkpoint) -> None:
    """Batches and steps have equal time; a request whose deadline leaves it no reasoning goes before the steps all the
    same."""
    segments = segments_of(small_checkpoint.folder)
    engine, reader = engine_of(small_checkpoint), Reader(segments, ())
    model = ModelRunner(load_model(small_checkpoint.folder, "float32"))
    runner = runner_of(model, segments, reader, EngineOptions())

    async def add(call: str, budget: int, deadline: float | None = None) -> Submission:
        submission = Submission(1)
        prompts = await prompts_of(engine, Job(call, QUERY, ("Ice flows.",)), budget, deadline)
        runner.add(requests_of(submission, prompts, segments.close, reader))
        return submission

    with torch.inference_mode():
        await add("long reasoning", 100)
        runner.run_once()
        await add("direct", 0)
        runner.run_once()  # from now on batches owe the reasoning as much time
        hurried = await add("due at once", 100, time.monotonic())
        runner.run_once()
    completion = await anext(hurried.outputs())
    await engine.close()
    assert isinstance(completion, Completion)
    assert (completion.status, completion.reasoning) == (Status.DEADLINE, "")


async def test_a_deadline_that_has_passed_gives_direct_verdicts(small_checkpoint: Checkpoint) -> None:
    engine = engine_of(small_checkpoint)
    verdicts = await score(engine, Job("call", QUERY, ("Ice.", "Snow.")), Mode.REASONING, 100, time.monotonic() - 1)
    await engine.close()
    assert [(verdict.status, verdict.reasoning) for verdict in verdicts] == [(Status.DEADLINE, "")] * 2


async def test_both_modes_at_once_do_not_disturb_each_other(small_checkpoint: Checkpoint, plain: PlainForward) -> None:
    recorded = Recorded()
    engine = engine_of(small_checkpoint, recorded)
    jobs = [Job(call, QUERY, ("Ice flows under its own weight.", "Trains run.", "")) for call in ("traced", "direct")]
    traced, direct = await asyncio.gather(score(engine, jobs[0], Mode.REASONING, 8), score(engine, jobs[1]))
    await engine.close()
    for with_trace, without in zip(traced, direct, strict=True):
        assert_greedy(plain, jobs[0], with_trace, recorded.written["traced", with_trace.index], 8)
        expected = plain.direct(QUERY, jobs[1].passages[without.index])
        assert without.log_odds == pytest.approx(expected, abs=TOLERANCE)
