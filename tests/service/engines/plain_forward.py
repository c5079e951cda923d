"""What the engine's answers are compared with: one prompt at a time through the model, as transformers runs it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from contract.prompt import LIMRANK
from contract.segments import Segments

_SENTENCES = (
    "Influenza is treated with rest, fluids and, for people at risk, antiviral drugs within 48 hours.",
    "The first public railway to use steam opened between Stockton and Darlington in 1825.",
    "Glaciers move because ice deforms under its own weight and slides over its bed.",
    "A mortgage at a fixed rate costs more at first but does not rise with the base rate.",
    "In Rust, a value has one owner; when the owner goes out of scope, the value is dropped.",
    "Der Föhn ist ein warmer, trockener Fallwind auf der Leeseite von Gebirgen.",
    "光合作用把光能转化为化学能。",
    "Is it relevant? That depends on the question!\n\nSee table 3 (p. 14).",
    "Mitochondria make most of the cell's ATP.",
    "def area(r): return 3.14159 * r ** 2  # in square metres",
)


def text(choose: random.Random, words: int) -> str:
    """Real-looking text of so many words."""
    chosen: list[str] = []
    while len(chosen) < words:
        chosen += choose.choice(_SENTENCES).split(" ")
    return " ".join(chosen[:words])


def segments_of(folder: Path) -> Segments:
    return Segments(LIMRANK, Tokenizer.from_file(str(folder / "tokenizer.json")))


class PlainForward:
    """A model in float32, whose every answer is a forward pass of its own."""

    def __init__(self, folder: Path, segments: Segments) -> None:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        self._model = model.eval()
        self.segments = segments

    def log_odds(self, ids: Sequence[int]) -> float:
        """Log-odds of the verdict words after `ids`."""
        words, log_probabilities = self.segments.verdict, self.log_probabilities(ids)
        return float(log_probabilities[words.true] - log_probabilities[words.false])

    def log_probabilities(self, ids: Sequence[int]) -> torch.Tensor:
        """Of every token of the vocabulary after `ids`."""
        return self._logits(ids, 1)[0].double().log_softmax(-1)

    def direct(self, query: str, passage: str, instruction: str | None = None) -> float:
        return self.log_odds(self.segments.context(self.segments.prompt_ids(query, passage, instruction)))

    def choices(self, prompt: Sequence[int], written: Sequence[int]) -> list[int]:
        """The most likely token after the prompt, and after each of the written ones: one more than these."""
        chosen: list[int] = self._logits([*prompt, *written], len(written) + 1).argmax(dim=-1).tolist()
        return chosen

    @torch.inference_mode()
    def _logits(self, ids: Sequence[int], keep: int) -> torch.Tensor:
        output = self._model(torch.tensor([list(ids)]), use_cache=False, logits_to_keep=keep)
        logits: torch.Tensor = output.logits[0]
        return logits
