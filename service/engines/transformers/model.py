"""A causal language model as the engine uses it: packs of tokens in, last hidden states out, the verdict words read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from contract.verdict import VerdictTokens
from service.engines.dtype import resolve_dtype
from service.engines.transformers.attention import IMPLEMENTATION, AttentionPlan, PackPlan, Segment, register
from service.engines.transformers.decode_attention import DecodePlan
from service.engines.transformers.kv_cache import CacheShape, KeyValues, TraceSlots
from service.models.checkpoint import ModelStoreError

# Architectures whose every layer attends to all earlier tokens and whose last layer is a plain linear head.
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
# Rotary scalings that do not depend on how long the other sequences of a batch are.
_ROTARY = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class VerdictLogits:
    """Logits of the two verdict words at one place; their difference is that of the log-probabilities."""

    true: float
    false: float


class PackedModel:
    """Wraps a transformers model loaded with `IMPLEMENTATION`. Not to be used from two threads at a time."""

    def __init__(self, model: Any, verdict: VerdictTokens) -> None:
        """Raise ModelStoreError for an architecture that the packed attention does not fit."""
        config = model.config
        _check_architecture(config)
        self._body = model.base_model
        self._head = model.get_output_embeddings()
        words = [verdict.true, verdict.false]
        self._words = self._head.weight[words].detach().float()
        self._words_bias = None if self._head.bias is None else self._head.bias[words].detach().float()
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.dtype: torch.dtype = model.dtype
        self.shape = CacheShape(config.num_hidden_layers, config.num_key_value_heads, head_dim, self.dtype)
        self.max_tokens: int = config.max_position_embeddings

    def prefill(self, segments: Sequence[Segment], slots: TraceSlots) -> Tensor:
        """Run the segments as one pack. Returns the hidden state after each one's last token (segments, hidden)."""
        plan = PackPlan(segments, slots, self.dtype)
        return self._run([token for segment in segments for token in segment.ids], plan)[plan.last]

    def decode(self, ids: Sequence[int], prefixes: Sequence[KeyValues], slots: TraceSlots) -> Tensor:
        """Add one token to every row in use. Returns the hidden state after each (rows, hidden)."""
        return self._run(ids, DecodePlan(prefixes, slots))

    def verdicts(self, hidden: Tensor) -> list[VerdictLogits]:
        """Logits of the verdict words after each hidden state; no other row of the head is computed."""
        logits = torch.nn.functional.linear(hidden.float(), self._words, self._words_bias)
        return [VerdictLogits(true=true, false=false) for true, false in logits.tolist()]

    def next_logits(self, hidden: Tensor) -> Tensor:
        """Logits of all tokens after each hidden state (rows, vocabulary)."""
        logits: Tensor = self._head(hidden)
        return logits

    def _run(self, ids: Sequence[int], plan: AttentionPlan) -> Tensor:
        output = self._body(
            input_ids=torch.tensor([list(ids)]), position_ids=plan.positions[None], use_cache=False, plan=plan
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


def load_model(folder: Path, dtype: str) -> Any:
    """The transformers model in `folder`, ready for `PackedModel`; `dtype`: see `resolve_dtype`. Runs no code of it.

    Raise ModelStoreError for a model that transformers does not know.
    """
    register()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Its own handler writes plain lines; ours writes JSON.
    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=resolve_dtype(dtype, folder),
            attn_implementation=IMPLEMENTATION,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except ValueError as error:
        raise ModelStoreError(
            f"transformers cannot load {folder}: models of type {', '.join(ARCHITECTURES)} are run here, and never "
            "code that comes with a model; serve another model."
        ) from error
    return model.eval().requires_grad_(False)


def _check_architecture(config: Any) -> None:
    if config.model_type not in ARCHITECTURES:
        raise ModelStoreError(
            f"The transformers engine runs models of type {', '.join(ARCHITECTURES)}, not {config.model_type!r}; "
            "serve this one with another engine."
        )
    partial = {kind for kind in getattr(config, "layer_types", None) or [] if kind != "full_attention"}
    if partial or (config.model_type == "mistral" and config.sliding_window is not None):
        raise ModelStoreError(
            "The transformers engine runs no model with sliding-window attention; use another engine."
        )
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotary not in _ROTARY:
        raise ModelStoreError(f"The transformers engine knows no rotary scaling {rotary!r}; use another engine.")
