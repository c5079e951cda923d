"""Scores in this process, behind a trace: the trace is the likeliest one, and the verdict is read after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.segments import Segments
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
    assert [list(ids) for ids in made] == [written_alone(model, prompt, 6) for prompt in prompts]


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
    assert write_traces(model, segments, prompts[:1], 4) == [tuple(first[: first.index(first[2])])]
    monkeypatch.undo()

    closing = Closing(model, segments.close)
    (made,) = write_traces(closing.model, segments, prompts[:1], 12)
    closing.undo()
    found = segments.find_close(made)
    assert found is not None
    assert found.tokens == 2
    assert found.ids == made


class Closing:
    """Makes a model write two tokens of its own and then the close."""

    def __init__(self, model: Any, close: Sequence[int]) -> None:
        self.model = model
        self._close = list(close)
        self._calls = 0
        self._hook = model.register_forward_hook(self._force)

    def undo(self) -> None:
        self._hook.remove()

    def _force(self, module: Any, given: Any, output: Any) -> Any:
        at = self._calls - 2
        self._calls += 1
        if 0 <= at < len(self._close):
            output.logits[:, -1, self._close[at]] = 1e4
        return output
