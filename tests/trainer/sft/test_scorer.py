"""Scores in this process, behind a trace: the trace is the likeliest one, and the verdict is read after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.reasoning import Status, end_ids
from contract.segments import Segments
from service.engines.transformers.decoder import Generation
from service.engines.transformers.engine import EngineOptions, TransformersEngine
from service.engines.transformers.model import load_model
from service.ranking import Mode
from tests.seam import Job, score
from trainer.sft.examples import load_segments
from trainer.sft.generate import write_traces
from trainer.sft.lora import load_base
from trainer.sft.scorer import CausalScorer

QUERY = "how is gout treated"
PASSAGES = ["Gout is treated with colchicine.", "Railways.", "Gout causes sudden pain in a joint, often the big toe."]


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> Any:
    return load_base(tiny_llama).eval()


@pytest.fixture(scope="module")
def segments(tiny_llama: Path) -> Segments:
    return load_segments(tiny_llama)


def next_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits
    return logits[0, -1].float()


def written_alone(model: Any, prompt: Sequence[int], tokens: int) -> list[int]:
    """One token at a time, without a cache and without neighbours."""
    ids: list[int] = []
    for _ in range(tokens):
        ids.append(int(next_logits(model, [*prompt, *ids]).argmax()))
    return ids


def test_traces_of_a_batch_are_those_written_alone(model: Any, segments: Segments) -> None:
    prompts = [segments.prompt_ids(QUERY, passage) for passage in PASSAGES]
    assert len({len(prompt) for prompt in prompts}) == 3
    made = write_traces(model, segments, prompts, 6)
    assert [list(each.written) for each in made] == [written_alone(model, prompt, 6) for prompt in prompts]


def test_a_score_behind_a_trace_is_read_after_what_the_model_wrote(model: Any, segments: Segments) -> None:
    expected = []
    for passage in PASSAGES:
        prompt = segments.prompt_ids(QUERY, passage)
        last = next_logits(model, segments.context(prompt, written_alone(model, prompt, 6)))
        expected.append(float(last[segments.verdict.true] - last[segments.verdict.false]))
    behind = CausalScorer(model, segments, trace_tokens=6, batch=2).score(QUERY, PASSAGES)
    assert behind == pytest.approx(expected, abs=1e-4)
    assert behind != pytest.approx(CausalScorer(model, segments, batch=2).score(QUERY, PASSAGES), abs=1e-2)


def test_a_trace_ends_at_its_close_and_at_an_end_of_text(
    model: Any, segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [segments.prompt_ids(QUERY, passage) for passage in PASSAGES[:2]]
    first = written_alone(model, prompts[0], 4)
    monkeypatch.setattr(model.generation_config, "eos_token_id", [first[2]])
    (ended,) = write_traces(model, segments, prompts[:1], 4)
    assert (ended.written, ended.status) == (tuple(first[: first.index(first[2])]), Status.END_OF_TEXT)
    monkeypatch.undo()

    closing = Forcing(model, segments.close, own=2)
    (made,) = write_traces(closing.model, segments, prompts[:1], 12)
    closing.undo()
    assert (made.tokens, made.status) == (2, Status.COMPLETE)
    assert made.ids == made.written
    assert made.written[2:] == segments.close


@pytest.mark.parametrize("kind", ["loop", "special token", "budget"])
async def test_reasoning_is_read_as_the_service_reads_it(
    tiny_llama: Path, model: Any, segments: Segments, kind: str
) -> None:
    """A loop and a special token end it on both sides, and the verdict is read after the same ids."""
    special = max(end_ids(segments))
    word = segments.trace_ids(" so")[0]
    written = {"loop": [word] * 60, "special token": [word, special], "budget": segments.trace_ids("a b c d e f g h")}
    budget = 55 if kind == "loop" else 6
    forced = Forcing(model, written[kind])
    (read,) = write_traces(model, segments, [segments.prompt_ids(QUERY, PASSAGES[0])], budget)
    forced.undo()
    forced = Forcing(model, written[kind])
    scorer = CausalScorer(model, segments, trace_tokens=budget, batch=1)
    (trained,) = scorer.score(QUERY, PASSAGES[:1])
    forced.undo()

    def choose(logits: torch.Tensor, generations: Sequence[Generation]) -> list[int]:
        return [written[kind][len(each.written)] for each in generations]

    engine = TransformersEngine(load_model(tiny_llama, "float32"), segments, EngineOptions(threads=1, choose=choose))
    (served,) = await score(engine, Job("call", QUERY, (PASSAGES[0],)), Mode.REASONING, budget)
    await engine.close()
    statuses = {"loop": Status.REPETITION, "special token": Status.END_OF_TEXT, "budget": Status.BUDGET}
    assert read.status is served.status is statuses[kind]
    assert (read.text, read.tokens) == (served.reasoning, served.reasoning_tokens)
    assert trained == pytest.approx(served.log_odds, abs=1e-3)


class Forcing:
    """Makes a model write given tokens, after `own` of its own choice."""

    def __init__(self, model: Any, tokens: Sequence[int], own: int = 0) -> None:
        self.model = model
        self._tokens = list(tokens)
        self._own = own
        self._calls = 0
        self._hook = model.register_forward_hook(self._force)

    def undo(self) -> None:
        self._hook.remove()

    def _force(self, module: Any, given: Any, output: Any) -> Any:
        at = self._calls - self._own
        self._calls += 1
        if 0 <= at < len(self._tokens):
            output.logits[:, -1, self._tokens[at]] = 1e4
        return output
