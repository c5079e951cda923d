"""A small checkpoint that reasons: for tests of what is done with traces, in which the model's size proves nothing.

Every trace is `BEGINNING`, then ` relevant` or ` not relevant` as the text before it decides, then a full stop and the
end-of-think tag: 12 or 13 tokens and the tag. The verdict depends on the text too, and does not follow the trace.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from bench.shapes import TINY
from tests.small_llama import write_llama

BEGINNING = "The query asks about one thing; The passage is"
_TRACES = tuple(f"<think>{BEGINNING}{end} relevant.</think>" for end in ("", " not"))
_SHAPE = TINY | {"tie_word_embeddings": False, "max_position_embeddings": 8192}
_PREVIOUS, _LIKELY, _ANY = 12.0, 3.0, 0.1  # of a token's own dimension; of what may follow it; of anything else
_READ, _SHARP = 0.12, 0.3  # of the attention: what it carries, and how it chooses


def write_model(folder: Path, tokenizer: Path) -> Path:
    """Writes the checkpoint into `folder`, which is created. `tokenizer`: a tokenizer.json of SmolLM2."""
    following = _following(Tokenizer.from_file(str(tokenizer)))
    return write_llama(folder, _SHAPE, tokenizer, lambda model: _write_weights(model, following))


def _following(tokenizer: Tokenizer) -> dict[int, set[int]]:
    """Each token of a trace and those that may come next: never two ways but behind ` is`."""
    following: dict[int, set[int]] = {}
    for trace in _TRACES:
        for one, following_one in pairwise(tokenizer.encode(trace, add_special_tokens=False).ids):
            following.setdefault(one, set()).add(following_one)
    return following


def _write_weights(model: Any, following: dict[int, set[int]]) -> None:
    """A token of a trace has a dimension of its own, which alone decides what comes next. The layers carry what was
    read into the other dimensions, where the choices that are left open differ by it."""
    generator, own = torch.Generator().manual_seed(4), len(following)

    def normal(weights: Tensor, deviation: float) -> None:
        weights.normal_(0.0, deviation, generator=generator)

    embeddings, output = model.model.embed_tokens.weight, model.lm_head.weight
    normal(embeddings, 1.0)
    normal(output, _ANY)
    embeddings[:, :own] = output[:, :own] = 0.0
    for dimension, (token, next_ones) in enumerate(following.items()):
        embeddings[token] = 0.0
        embeddings[token, dimension] = _PREVIOUS
        output[list(next_ones), dimension] = _LIKELY
    for layer in model.model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            normal(part.weight, _SHARP)
        for part in (layer.self_attn.v_proj, layer.self_attn.o_proj):
            normal(part.weight, _READ)
        layer.self_attn.o_proj.weight[:own] = 0.0
        layer.mlp.down_proj.weight.zero_()
