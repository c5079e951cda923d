"""Reasoning of a causal model in this process: greedy decoding with transformers' `generate`.

It ends where `contract.reasoning` says, as in the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import BoolTensor, LongTensor
from transformers import StoppingCriteria, StoppingCriteriaList

from contract.reasoning import Reader, ReasoningResult, end_ids
from contract.segments import Segments


class _Ended(StoppingCriteria):
    """Stops each row whose reasoning ends before its budget does."""

    def __init__(self, reader: Reader, prompt_tokens: int, most_tokens: int) -> None:
        self._reader = reader
        self._prompt_tokens = prompt_tokens
        self._most_tokens = most_tokens

    def __call__(self, input_ids: LongTensor, scores: Any, **kwargs: Any) -> BoolTensor:
        rows = input_ids[:, self._prompt_tokens :].tolist()
        ended = [self._reader.ended(row, self._most_tokens) is not None for row in rows]
        return BoolTensor(ended).to(input_ids.device)  # type: ignore[return-value]


def write_traces(
    model: Any, segments: Segments, prompts: Sequence[Sequence[int]], most_tokens: int
) -> list[ReasoningResult]:
    """The model's reasoning after each prompt, read as the service reads it; `most_tokens` is its budget."""
    longest = max(map(len, prompts))
    device = next(model.parameters()).device
    reader = Reader(segments, _end_ids(model, segments))
    padding = min(reader.end_ids, default=0)
    made = model.generate(
        input_ids=torch.tensor([[padding] * (longest - len(ids)) + [*ids] for ids in prompts], device=device),
        attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=device),
        stopping_criteria=StoppingCriteriaList([_Ended(reader, longest, most_tokens)]),
        max_new_tokens=most_tokens,
        do_sample=False,
        pad_token_id=padding,
        use_cache=True,
    )
    return [_read(reader, ids, most_tokens) for ids in made[:, longest:].tolist()]


def _end_ids(model: Any, segments: Segments) -> frozenset[int]:
    named = [{"eos_token_id": getattr(each, "eos_token_id", None)} for each in (model.generation_config, model.config)]
    return end_ids(segments, *named)


def _read(reader: Reader, row: Sequence[int], most_tokens: int) -> ReasoningResult:
    """The reasoning in a row, which is padded after its end if another row was longer."""
    for length in range(1, len(row) + 1):
        status = reader.ended(row[:length], most_tokens)
        if status is not None:
            return reader.read(row[:length], status)
    return reader.read(row)
