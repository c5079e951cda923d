"""Traces that a causal model writes in this process by greedy decoding, with transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import BoolTensor, LongTensor
from transformers import StoppingCriteria, StoppingCriteriaList

from contract.segments import Segments


class _Closed(StoppingCriteria):
    """Stops each row once it has written the close."""

    def __init__(self, segments: Segments, prompt_tokens: int) -> None:
        self._segments = segments
        self._prompt_tokens = prompt_tokens

    def __call__(self, input_ids: LongTensor, scores: Any, **kwargs: Any) -> BoolTensor:
        closed = [self._segments.closes(ids) for ids in input_ids[:, self._prompt_tokens :].tolist()]
        return BoolTensor(closed).to(input_ids.device)  # type: ignore[return-value]


def write_traces(
    model: Any, segments: Segments, prompts: Sequence[Sequence[int]], most_tokens: int
) -> list[tuple[int, ...]]:
    """The ids that the model writes after each prompt, up to its close, an end of text, or `most_tokens` ids.

    Padding may follow a close where another row was longer; `Segments.find_close` leaves it out.
    """
    longest = max(map(len, prompts))
    device = next(model.parameters()).device
    ends = _end_ids(model)
    padding = ends[0] if ends else 0
    made = model.generate(
        input_ids=torch.tensor([[padding] * (longest - len(ids)) + [*ids] for ids in prompts], device=device),
        attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=device),
        stopping_criteria=StoppingCriteriaList([_Closed(segments, longest)]),
        max_new_tokens=most_tokens,
        do_sample=False,
        pad_token_id=padding,
        use_cache=True,
    )
    return [_before_end(ids, ends) for ids in made[:, longest:].tolist()]


def _end_ids(model: Any) -> list[int]:
    found = model.generation_config.eos_token_id
    if found is None:
        return []
    return [found] if isinstance(found, int) else list(found)


def _before_end(written: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    """The ids before the first end id; rows that end early are padded with one."""
    end = next((at for at, token in enumerate(written) if token in ends), len(written))
    return tuple(written[:end])
