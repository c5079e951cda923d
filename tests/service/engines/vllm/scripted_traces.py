"""A logits processor of vLLM that makes the model write given tokens, so that every way a trace can end really ends.

The small test model never closes a trace by itself. A prompt that holds the words of `marker(name)` is followed by the
tokens of `SCRIPTS[name]` instead of the model's own choice; one that ends with some of these, by those that are left.
Only the choice is forced: the values that verdicts are
read from are those of the untouched logits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from contract.prompt import Tokenizer as Encoder

_NUMBERS = [f"{7 * n} {n * n}," for n in range(1, 300)]
END = "<|im_end|>"
LOOP = " It is so."
# What the model writes after the prompt, in pieces that are encoded alone; the last one goes on for ever.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "closed": (" The passage names the cure.", "</think>", " false" * 8),
    "fused": (" It names the cure", "</think>.", " false" * 8),
    "ended": (" It names the cure.", END, " false" * 8),
    "looping": (" Let me see.", LOOP * 400),
    # Of tokens that differ from each other, so that nothing ends them: 45, and as many as are asked for.
    "closing": (" ".join(["", *_NUMBERS[:7]]), "</think>", " false" * 8),
    "open": (" ".join(["", *_NUMBERS]),),
    "empty": ("</think>", " false" * 8),
}


def marker(name: str) -> str:
    """The words that a passage must hold."""
    return f"zq-script-{name}-zq"


def ids_of(tokenizer: Encoder, name: str) -> list[int]:
    """The tokens that are forced, in their order."""
    pieces = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in SCRIPTS[name]]
    return [i for ids in pieces for i in ids]


class ScriptedTraces(AdapterLogitsProcessor):  # type: ignore[misc]  # vllm is not installed wherever types are checked
    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        super().__init__(vllm_config, device, is_pin_memory)
        self._tokenizer = Tokenizer.from_file(str(Path(vllm_config.model_config.model) / "tokenizer.json"))
        self._scripts = {marker(name): ids_of(self._tokenizer, name) for name in SCRIPTS}

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, params: Any) -> Callable[[list[int], list[int], torch.Tensor], torch.Tensor]:
        script: list[int] | None = None
        begin = 0  # where the script goes on
        looked = False

        def force(prompt: list[int], written: list[int], logits: torch.Tensor) -> torch.Tensor:
            nonlocal script, begin, looked
            if not looked:
                script, looked = self._script(prompt), True
                begin = _continued(prompt, script or [])
            if script is None:
                return logits
            wanted = script[min(begin + len(written), len(script) - 1)]
            forced = torch.full_like(logits, float("-inf"))
            forced[wanted] = 0.0
            return forced

        return force

    def _script(self, prompt: list[int]) -> list[int] | None:
        text = self._tokenizer.decode(prompt, skip_special_tokens=False)
        return next((ids for words, ids in self._scripts.items() if words in text), None)


def _continued(prompt: list[int], script: list[int]) -> int:
    """How many of the script's tokens the prompt ends with, in their order from the first."""
    lengths = range(min(len(script), len(prompt)), 0, -1)
    return next((length for length in lengths if prompt[-length:] == script[:length]), 0)
