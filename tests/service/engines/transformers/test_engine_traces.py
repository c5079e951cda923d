"""Reasoning mode: traces are those a plain loop writes, and the verdict is read after them, however they end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from service.engine import Job, Mode, Status, Verdict
from service.engines.causal.prompts import PromptDocuments
from service.engines.causal.sequences import Submission
from service.engines.causal.traces import loops
from service.engines.transformers.decoder import NextToken, Trace, greedy
from service.engines.transformers.engine import EngineOptions, TransformersEngine, runner_of
from service.engines.transformers.model import PackedModel, load_model
from service.models.checkpoint import Checkpoint
from tests.service.engines.plain_forward import PlainForward, score, segments_of, text

TOLERANCE = 1e-3
END_IDS = (0, 1, 2)  # SmolLM2: <|endoftext|>, <|im_start|>, <|im_end|>
QUERY = "how do glaciers move"


@pytest.fixture(scope="module")
def plain(embedded_checkpoint: Checkpoint) -> PlainForward:
    return PlainForward(embedded_checkpoint.folder, segments_of(embedded_checkpoint.folder))


class Scripted:
    """Chooses for document `i` the tokens of `scripts[i]` one after another, whatever the model would choose."""

    def __init__(self, scripts: Mapping[int, Sequence[int]]) -> None:
        self.scripts = scripts

    def __call__(self, logits: Tensor, traces: Sequence[Trace]) -> list[int]:
        return [self.scripts[trace.document.index][len(trace.written)] for trace in traces]


def engine_of(checkpoint: Checkpoint, choose: NextToken = greedy, traces: int = 64) -> TransformersEngine:
    options = EngineOptions(threads=2, traces=traces, choose=choose)
    return TransformersEngine(load_model(checkpoint.folder, "float32"), segments_of(checkpoint.folder), options)


def ids(plain: PlainForward, written: str) -> list[int]:
    encoded: list[int] = plain.segments.tokenizer.encode(written, add_special_tokens=False).ids
    return encoded


class Recorded:
    """Chooses as the engine does by default, and keeps what each document's trace was."""

    def __init__(self) -> None:
        self.written: dict[tuple[str, int], list[int]] = {}

    def __call__(self, logits: Tensor, traces: Sequence[Trace]) -> list[int]:
        for trace in traces:
            self.written[trace.document.call, trace.document.index] = trace.written
        return greedy(logits, traces)


def assert_greedy(plain: PlainForward, job: Job, verdict: Verdict, written: list[int], budget: int) -> None:
    """The trace is what the model itself writes after the prompt, and the verdict is read after it."""
    prompt = plain.segments.prompt_ids(job.query, job.passages[verdict.index])
    *before_last, last = plain.choices(prompt, written)
    assert before_last == written
    assert verdict.status is (Status.BUDGET if len(written) == budget else Status.END_OF_TEXT)
    assert len(written) == budget or last in END_IDS
    assert verdict.trace == plain.segments.trace_text(written)
    assert verdict.reasoning_tokens == len(written)
    expected = plain.log_odds(plain.segments.context(prompt, written))
    assert verdict.log_odds == pytest.approx(expected, abs=TOLERANCE)


async def test_traces_of_several_calls_are_those_of_a_plain_loop(
    embedded_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    recorded = Recorded()
    engine = engine_of(embedded_checkpoint, recorded, traces=3)  # fewer than documents: they leave and join as they go
    choose = random.Random(6)
    jobs = [Job(f"call-{n}", text(choose, 5 * n), tuple(text(choose, m) for m in (0, 7, 25))) for n in (1, 4)]
    answers = await asyncio.gather(*(score(engine, job, Mode.REASONING, 14) for job in jobs))
    await engine.close()
    for job, verdicts in zip(jobs, answers, strict=True):
        for verdict in verdicts:
            assert_greedy(plain, job, verdict, recorded.written[job.call, verdict.index], 14)


async def test_every_way_a_trace_ends_keeps_its_context(embedded_checkpoint: Checkpoint, plain: PlainForward) -> None:
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
    engine = engine_of(embedded_checkpoint, Scripted(scripts))
    passages = ("Ice flows.", "Trains run.", "Snow falls.", "Rocks.", "Water.")
    verdicts = await score(engine, Job("call", QUERY, passages), Mode.REASONING, 80)
    await engine.close()
    statuses = [Status.COMPLETE, Status.BUDGET, Status.END_OF_TEXT, Status.REPETITION, Status.END_OF_TEXT]
    assert [verdict.status for verdict in verdicts] == statuses
    traces = [verdict.trace for verdict in verdicts]
    assert (traces[0], traces[2], traces[4]) == ("\nIce flows.", "Unsure", "")
    for verdict in verdicts:
        kept = scripts[verdict.index][: len(written[0]) if verdict.index == 0 else verdict.reasoning_tokens]
        prompt = plain.segments.prompt_ids(QUERY, passages[verdict.index])
        expected = plain.log_odds(plain.segments.context_after(prompt, kept))
        assert verdict.log_odds == pytest.approx(expected, abs=TOLERANCE)
    assert verdicts[0].reasoning_tokens == len(ids(plain, "\nIce flows."))
    assert verdicts[1].reasoning_tokens == 80
    assert verdicts[3].reasoning_tokens < 60, "a loop is noticed long before the budget is spent"


async def test_a_budget_of_nothing_is_a_direct_verdict(embedded_checkpoint: Checkpoint, plain: PlainForward) -> None:
    engine = engine_of(embedded_checkpoint)
    (verdict,) = await score(engine, Job("call", QUERY, ("Ice flows.",)), Mode.REASONING, 0)
    await engine.close()
    assert (verdict.status, verdict.trace, verdict.reasoning_tokens) == (Status.BUDGET, "", 0)
    assert verdict.log_odds == pytest.approx(plain.direct(QUERY, "Ice flows."), abs=TOLERANCE)


async def test_near_a_deadline_traces_are_closed_and_those_not_begun_are_direct(
    embedded_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    endless = ids(plain, "".join(f" word{n}" for n in range(2000)))
    engine = engine_of(embedded_checkpoint, Scripted(dict.fromkeys(range(4), endless)), traces=2)
    passages = ("Ice flows.", "Trains run.", "Snow falls.", "Rocks.")
    await engine.warm_up()
    deadline = time.monotonic() + 4.0
    verdicts = await score(engine, Job("call", QUERY, passages), Mode.REASONING, 4000, deadline)
    late = time.monotonic() - deadline
    await engine.close()
    assert [verdict.status for verdict in verdicts] == [Status.DEADLINE] * 4
    begun = [verdict for verdict in verdicts if verdict.reasoning_tokens]
    direct = [verdict for verdict in verdicts if not verdict.reasoning_tokens]
    assert len(begun) == len(direct) == 2
    assert late < 3.0, "a second and more is a machine that has other things to do"
    for verdict in direct:
        assert verdict.trace == ""
        assert verdict.log_odds == pytest.approx(plain.direct(QUERY, passages[verdict.index]), abs=TOLERANCE)
    for verdict in begun:
        prompt = plain.segments.prompt_ids(QUERY, passages[verdict.index])
        context = plain.segments.context(prompt, endless[: verdict.reasoning_tokens])
        assert verdict.log_odds == pytest.approx(plain.log_odds(context), abs=TOLERANCE)


async def test_what_a_deadline_hurries_does_not_wait_for_its_share_of_time(embedded_checkpoint: Checkpoint) -> None:
    """Packs and steps have equal time; a document whose deadline leaves it no trace goes before the steps all the
    same."""
    segments = segments_of(embedded_checkpoint.folder)
    model = PackedModel(load_model(embedded_checkpoint.folder, "float32"), segments.verdict)
    runner = runner_of(model, segments, frozenset(), EngineOptions())
    documents = PromptDocuments(segments, 1000)

    def add(call: str, budget: int | None, deadline: float | None = None) -> Submission:
        submission = Submission(1)
        runner.add(documents.encode(Job(call, QUERY, ("Ice flows.",)), budget, deadline, submission))
        return submission

    with torch.inference_mode():
        add("long trace", 100)
        runner.run_once()
        add("direct", None)
        runner.run_once()  # from now on packs owe the trace as much time
        hurried = add("due at once", 100, time.monotonic())
        runner.run_once()
    verdict = await anext(hurried.verdicts())
    assert (verdict.status, verdict.trace) == (Status.DEADLINE, "")


async def test_a_deadline_that_has_passed_gives_direct_verdicts(embedded_checkpoint: Checkpoint) -> None:
    engine = engine_of(embedded_checkpoint)
    verdicts = await score(engine, Job("call", QUERY, ("Ice.", "Snow.")), Mode.REASONING, 100, time.monotonic() - 1)
    await engine.close()
    assert [(verdict.status, verdict.trace) for verdict in verdicts] == [(Status.DEADLINE, "")] * 2


async def test_both_modes_at_once_do_not_disturb_each_other(
    embedded_checkpoint: Checkpoint, plain: PlainForward
) -> None:
    recorded = Recorded()
    engine = engine_of(embedded_checkpoint, recorded)
    jobs = [Job(call, QUERY, ("Ice flows under its own weight.", "Trains run.", "")) for call in ("traced", "direct")]
    traced, direct = await asyncio.gather(score(engine, jobs[0], Mode.REASONING, 8), score(engine, jobs[1]))
    await engine.close()
    for with_trace, without in zip(traced, direct, strict=True):
        assert_greedy(plain, jobs[0], with_trace, recorded.written["traced", with_trace.index], 8)
        expected = plain.direct(QUERY, jobs[1].passages[without.index])
        assert without.log_odds == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([7] * 49, True),
        ([7] * 48, False),
        ([1, 2, 3, *[4, 5, 6] * 17], True),
        ([4, 5, 6] * 16, False),
        (list(range(64)) * 4, True),
        (list(range(64)) * 3, False),
        (list(range(65)) * 8, False),
        ([4, 5, 6] * 20 + [7], False),
        ([], False),
    ],
)
def test_a_loop_is_a_piece_that_comes_back_long_enough(written: list[int], expected: bool) -> None:
    assert loops(written) is expected
