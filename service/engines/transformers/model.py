"""A causal language model for the engine: batches of tokens in, last hidden states out, and the answers read from
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from service.engines.dtype import CPU
from service.engines.transformers.architectures import ARCHITECTURES
from service.engines.transformers.attention import IMPLEMENTATION, AttentionPlan, BatchPlan, Chunk, register
from service.engines.transformers.decode_attention import DecodePlan
from service.engines.transformers.kv_cache import CacheShape, DecodeCache, KVCache
from service.engines.whole import load_whole
from service.errors import ModelStoreError

# Rotary scalings that do not depend on the lengths of other sequences in a batch.
_ROTARY = ("default", "linear", "llama3", "yarn")
_HEAD_ROWS = 32  # hidden states for which the whole head is computed at a time
_MOST_ANSWERS = 64  # sets of answer tokens whose head rows are cached


@dataclass(frozen=True, slots=True)
class AnswerLogprobs:
    """Log-probabilities of the answer tokens at one position and their total probability; or their logits, and no
    probability."""

    values: tuple[float, ...]
    mass: float | None


@dataclass(frozen=True, slots=True)
class _AnswerRows:
    """The head's rows for some answer tokens: `weight` (answers, hidden), `bias` (answers,)."""

    weight: Tensor
    bias: Tensor | None


class ModelRunner:
    """Wraps a transformers model loaded with `IMPLEMENTATION`. Not thread-safe."""

    def __init__(self, model: Any, *, logits: bool = False) -> None:
        """With `logits`, answers are read as raw logits.

        Raises ModelStoreError for an architecture that the batched attention does not support.
        """
        config = model.config
        _check_architecture(config)
        self._body = model.base_model
        self._head = model.get_output_embeddings()
        self._logits = logits
        self._answer_rows: dict[tuple[int, ...], _AnswerRows] = {}
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.dtype: torch.dtype = model.dtype
        self.device: torch.device = model.device
        self.shape = CacheShape(config.num_hidden_layers, config.num_key_value_heads, head_dim, self.dtype, self.device)
        self.max_tokens: int = config.max_position_embeddings

    def prefill(self, chunks: Sequence[Chunk], cache: DecodeCache) -> Tensor:
        """Runs the chunks as one batch. Returns the hidden state after each one's last token (chunks, hidden)."""
        with self.device:  # the plan creates its masks and positions there
            plan = BatchPlan(chunks, cache, self.dtype)
        return self._run([token for chunk in chunks for token in chunk.ids], plan)[plan.last]

    def decode(self, ids: Sequence[int], prefixes: Sequence[KVCache], cache: DecodeCache) -> Tensor:
        """Appends one token to every row in use. Returns the hidden state after each (rows, hidden)."""
        with self.device:
            plan = DecodePlan(prefixes, cache)
        return self._run(ids, plan)

    def answers(self, hidden: Tensor, asked: Sequence[tuple[int, ...]]) -> list[AnswerLogprobs]:
        """Log-probabilities of the `asked` tokens after each hidden state (rows, hidden).

        Their logits are computed in float32, so that their differences are exact. The normaliser, over the logits of
        all tokens, is computed in the model's own format.
        """
        read: list[AnswerLogprobs] = []
        for begin in range(0, len(asked), _HEAD_ROWS):
            rows = hidden[begin : begin + _HEAD_ROWS]
            totals = self._totals(rows)
            for row, total, answers in zip(rows.float(), totals, asked[begin : begin + _HEAD_ROWS], strict=True):
                head = self._rows_of(answers)
                logprobs = torch.nn.functional.linear(row, head.weight, head.bias) - total  # (answers,)
                mass = None if self._logits else min(1.0, float(logprobs.exp().sum()))
                read.append(AnswerLogprobs(tuple(logprobs.tolist()), mass))
        return read

    def _totals(self, hidden: Tensor) -> Tensor:
        """The log normaliser of the logits after each hidden state (rows, hidden), shape (rows,); 0 when raw logits are
        read."""
        if self._logits:
            return torch.zeros(len(hidden))
        return torch.logsumexp(self.next_logits(hidden).float(), dim=-1)

    def next_logits(self, hidden: Tensor) -> Tensor:
        """Logits of all tokens after each hidden state (rows, vocabulary)."""
        logits: Tensor = self._head(hidden)
        return logits

    def _rows_of(self, answers: tuple[int, ...]) -> _AnswerRows:
        rows = self._answer_rows.get(answers)
        if rows is None:
            ids, bias = list(answers), self._head.bias
            rows = _AnswerRows(
                self._head.weight[ids].detach().float(), None if bias is None else bias[ids].detach().float()
            )
            if len(self._answer_rows) >= _MOST_ANSWERS:
                self._answer_rows.clear()
            self._answer_rows[answers] = rows
        return rows

    def _run(self, ids: Sequence[int], plan: AttentionPlan) -> Tensor:
        output = self._body(
            input_ids=torch.tensor([list(ids)], device=self.device),
            position_ids=plan.positions[None],
            use_cache=False,
            plan=plan,
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


def load_model(folder: Path, dtype: str, device: torch.device = CPU) -> Any:
    """Loads the transformers model in `folder` for `ModelRunner`; `dtype`: see `resolve_dtype`. Runs none of its code.

    Raises ModelStoreError for a model that transformers does not know or that is incomplete.
    """
    register()
    advice = (
        f": models of type {', '.join(ARCHITECTURES)} are run here, and never code that comes with a model; serve "
        "another model"
    )
    model = load_whole(
        AutoModelForCausalLM, folder, advice, dtype=dtype, device=device, attn_implementation=IMPLEMENTATION
    )
    return model.to(device).eval().requires_grad_(False)


def _check_architecture(config: Any) -> None:
    if config.model_type not in ARCHITECTURES:
        raise ModelStoreError(
            f"The transformers engine runs models of type {', '.join(ARCHITECTURES)}, not {config.model_type!r}; "
            "serve this one with --engine vllm."
        )
    partial = {kind for kind in getattr(config, "layer_types", None) or [] if kind != "full_attention"}
    if partial or (config.model_type == "mistral" and config.sliding_window is not None):
        raise ModelStoreError(
            "The transformers engine runs no model with sliding-window attention; serve it with --engine vllm."
        )
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotary not in _ROTARY:
        raise ModelStoreError(
            f"The transformers engine knows no rotary scaling {rotary!r}; serve it with --engine vllm."
        )
