"""A GGUF file of some hundred kilobytes with every kind of tensor and setting that the embedded model's file has.

It is written the way llama.cpp's converter writes a llama checkpoint: from tensors under their transformers names, with
the rows of q and k put into llama.cpp's order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import quantize
from numpy.typing import NDArray

HIDDEN, HEADS, KV_HEADS, FEED_FORWARD, LAYERS = 64, 4, 2, 96, 2
HEAD_DIM = HIDDEN // HEADS
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ t", "Ġt r", "Ġtr u", "Ġtru e", "Ġ f", "Ġf a", "Ġfa l", "Ġfal s", "Ġfals e", "< /", "</ t", "t h", "Ġ Ġ"]
MERGES += ["</t h", "</th i", "</thi n", "</thin k", "< t", "<t h", "<th i", "<thi n", "<thin k"]
MERGES += ["< |", "<| i", "<| e"]

Weights = dict[str, NDArray[np.float32]]


def vocabulary() -> list[str]:
    return [*SPECIALS, *_byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES)]


def random_weights(seed: int = 7) -> Weights:
    """Tensors of a llama model under their transformers names."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.3, shape).astype(np.float32)

    weights = {"model.embed_tokens.weight": draw(len(vocabulary()), HIDDEN), "model.norm.weight": draw(HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        weights |= {
            f"{prefix}input_layernorm.weight": draw(HIDDEN),
            f"{prefix}self_attn.q_proj.weight": draw(HEADS * HEAD_DIM, HIDDEN),
            f"{prefix}self_attn.k_proj.weight": draw(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{prefix}self_attn.v_proj.weight": draw(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{prefix}self_attn.o_proj.weight": draw(HIDDEN, HEADS * HEAD_DIM),
            f"{prefix}post_attention_layernorm.weight": draw(HIDDEN),
            f"{prefix}mlp.gate_proj.weight": draw(FEED_FORWARD, HIDDEN),
            f"{prefix}mlp.up_proj.weight": draw(FEED_FORWARD, HIDDEN),
            f"{prefix}mlp.down_proj.weight": draw(HIDDEN, FEED_FORWARD),
        }
    return weights


def kind(name: str) -> GGMLQuantizationType:
    """How the embedded model's file stores this tensor."""
    if "norm" in name:
        return GGMLQuantizationType.F32
    return GGMLQuantizationType.Q8_0 if "embed" in name else GGMLQuantizationType.Q4_1


def write_tiny_gguf(path: Path, weights: Weights | None = None, *, pre: str = "smollm", drop: str = "") -> None:
    """`drop` leaves out the tensors whose GGUF names contain it."""
    writer = GGUFWriter(path, "llama")
    _add_settings(writer, pre)
    for name, values in (weights or random_weights()).items():
        gguf_name = _gguf_name(name)
        if not drop or drop not in gguf_name:
            stored = kind(name)
            writer.add_tensor(gguf_name, quantize(_in_file_order(name, values), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_settings(writer: GGUFWriter, pre: str) -> None:
    tokens = vocabulary()
    settings: dict[str, Any] = {
        "context_length": 512,
        "embedding_length": HIDDEN,
        "block_count": LAYERS,
        "feed_forward_length": FEED_FORWARD,
        "head_count": HEADS,
        "head_count_kv": KV_HEADS,
        "layer_norm_rms_eps": 1e-5,
        "rope_freq_base": 10000.0,
        "rope_dimension_count": HEAD_DIM,
        "tokenizer_model": "gpt2",
        "tokenizer_pre": pre,
        "token_list": tokens,
        "token_types": [TokenType.CONTROL if token in SPECIALS else TokenType.NORMAL for token in tokens],
        "token_merges": MERGES,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "unk_token_id": 0,
        "chat_template": "{{ messages[0]['content'] }}",
    }
    for name, value in settings.items():
        getattr(writer, f"add_{name}")(value)


def _gguf_name(name: str) -> str:
    parts = {"self_attn.o_proj": "attn_output", "self_attn.": "attn_", "mlp.": "ffn_", "_proj": ""}
    parts |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "model.layers": "blk"}
    parts |= {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    for theirs, ours in parts.items():
        name = name.replace(theirs, ours)
    return name


def _in_file_order(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of each head of q and k, first and second half interleaved: 0, d/2, 1, d/2 + 1, ..."""
    if "q_proj" not in name and "k_proj" not in name:
        return values
    order = [half * HEAD_DIM // 2 + i for i in range(HEAD_DIM // 2) for half in (0, 1)]
    heads = [values[start : start + HEAD_DIM][order] for start in range(0, len(values), HEAD_DIM)]
    return np.concatenate(heads)


def _byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in byte-level BPE: printable ones as they are, the rest moved up."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = (byte for byte in range(256) if byte not in plain)
    return [chr(byte) for byte in plain] + [chr(256 + place) for place, _ in enumerate(rest)]
