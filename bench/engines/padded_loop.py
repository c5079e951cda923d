"""The peer: the straightforward way to score pairs with transformers. Batches of 16 in the given order, left padding,
SDPA, float32, logits at one position only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from contract.segments import Segments

_BATCH = 16


class PaddedLoop:
    """Uses the engine's prompts and verdict words, so the scores must be equal."""

    def __init__(self, folder: Path, segments: Segments) -> None:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
        )
        self._model = model.eval()
        self._segments = segments

    @torch.inference_mode()
    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Log-odds of each passage."""
        prefix = self._segments.prompt.prefix(query)
        prompts = [[*prefix, *rest, *self._segments.close] for rest in self._segments.prompt.rests(passages)]
        batches = [prompts[at : at + _BATCH] for at in range(0, len(prompts), _BATCH)]
        return [odds for batch in batches for odds in self._score_batch(batch)]

    def _score_batch(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1
        )
        words = self._segments.verdict
        odds: list[float] = (output.logits[:, -1, words.true] - output.logits[:, -1, words.false]).tolist()
        return odds
