"""Converts a llama GGUF file into a folder for transformers and vLLM: safetensors, configuration, tokenizer.

The library `gguf` reads and dequantises; names, the order of rotary rows and the tokenizer's description are ours.
transformers' own loader is not used: it takes four times as long, marks the model as quantised and refuses to save it,
and builds a tokenizer that does not split digits first (two spaces before a digit get other ids).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from cli.progress import Progress, progress
from service.errors import ConversionError

VERSION = 1  # increase it with every change to the files written, so that cached folders are built again

_ARCHITECTURE = "llama"
_PRE_TOKENIZER = "smollm"
_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "blk.{}.attn_norm.weight": "model.layers.{}.input_layernorm.weight",
    "blk.{}.attn_q.weight": "model.layers.{}.self_attn.q_proj.weight",
    "blk.{}.attn_k.weight": "model.layers.{}.self_attn.k_proj.weight",
    "blk.{}.attn_v.weight": "model.layers.{}.self_attn.v_proj.weight",
    "blk.{}.attn_output.weight": "model.layers.{}.self_attn.o_proj.weight",
    "blk.{}.ffn_norm.weight": "model.layers.{}.post_attention_layernorm.weight",
    "blk.{}.ffn_gate.weight": "model.layers.{}.mlp.gate_proj.weight",
    "blk.{}.ffn_up.weight": "model.layers.{}.mlp.up_proj.weight",
    "blk.{}.ffn_down.weight": "model.layers.{}.mlp.down_proj.weight",
}


def convert(gguf: Path, folder: Path) -> None:
    """Writes the model in `gguf` into the existing `folder`, in float32 (Q4_1 values are not exact in bfloat16).

    The output layer must be tied to the embeddings, which are stored once. Raises ConversionError for another kind of
    model and OSError if the folder cannot be written.
    """
    reader = _open(gguf)
    settings = {name: field.contents() for name, field in reader.fields.items()}
    for key, expected in (("general.architecture", _ARCHITECTURE), ("tokenizer.ggml.pre", _PRE_TOKENIZER)):
        if settings.get(key) != expected:
            raise ConversionError(f"{gguf} has {key} = {settings.get(key)!r}; only {expected!r} can be converted.")
    config = _config(settings)
    # Each tensor counts twice: unpacked and written.
    with progress("converting_model", total=2 * len(reader.tensors), unit="steps") as shown:
        weights = dict(_weights(reader, config, shown))
        _check_complete(weights, config, gguf)
        _write_weights(folder / "model.safetensors", weights)
        shown.advance(len(reader.tensors))
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {key: config[key] for key in _ids(settings)})
    _write_json(folder / "tokenizer.json", _tokenizer(settings))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(settings))


def _open(gguf: Path) -> GGUFReader:
    try:
        return GGUFReader(gguf)
    except (ValueError, IndexError) as error:  # the reader raises IndexError for a file that ends too early
        raise ConversionError(f"{gguf} is not a whole GGUF file ({error}); install it again.") from error


def _weights(reader: GGUFReader, config: dict[str, Any], shown: Progress) -> Iterator[tuple[str, NDArray[np.float32]]]:
    heads = {".attn_q.": config["num_attention_heads"], ".attn_k.": config["num_key_value_heads"]}
    for tensor in reader.tensors:
        name = _name(tensor.name)
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        for part, count in heads.items():
            if part in tensor.name:
                values = _half_split_rows(values, count)
        shown.advance()
        yield name, np.ascontiguousarray(values)


def _name(gguf_name: str) -> str:
    pattern = re.sub(r"^blk\.\d+\.", "blk.{}.", gguf_name)
    if pattern not in _NAMES:
        raise ConversionError(f"The tensor {gguf_name!r} has no place in a llama model with tied output weights.")
    number = re.search(r"\d+", gguf_name)
    return _NAMES[pattern].format(number.group() if number else "")


def _half_split_rows(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undoes llama.cpp's row order of q and k: rotary pairs (0, 1), (2, 3) ... become (0, d/2), (1, d/2 + 1) ..."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _check_complete(weights: dict[str, NDArray[np.float32]], config: dict[str, Any], gguf: Path) -> None:
    layers = range(config["num_hidden_layers"])
    required = {name.format(layer) for name in _NAMES.values() for layer in layers}
    if missing := sorted(required - set(weights)):
        raise ConversionError(f"{gguf} lacks {len(missing)} tensors, among them the one for {missing[0]}.")


def _ids(settings: dict[str, Any]) -> dict[str, int]:
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    return {key: settings[f"tokenizer.ggml.{name}_token_id"] for key, name in names.items()}


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    hidden, heads = settings["llama.embedding_length"], settings["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": len(settings["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": settings["llama.feed_forward_length"],
        "num_hidden_layers": settings["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": settings["llama.attention.head_count_kv"],
        "head_dim": settings.get("llama.rope.dimension_count", hidden // heads),
        "hidden_act": "silu",
        "max_position_embeddings": settings["llama.context_length"],
        "rms_norm_eps": float(f"{settings['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # 1e-5, kept as a float32
        "rope_parameters": {"rope_type": "default", "rope_theta": settings["llama.rope.freq_base"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        **_ids(settings),
    }


def _tokenizer(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns SmolLM2's tokenizer.json: byte-level BPE without a normalizer, each digit a token of its own."""
    tokens, kinds = settings["tokenizer.ggml.tokens"], settings["tokenizer.ggml.token_type"]
    added = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": kind == TokenType.CONTROL}
        for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in settings["tokenizer.ggml.merges"]],
        },
    }


def _tokenizer_config(settings: dict[str, Any]) -> dict[str, Any]:
    tokens = settings["tokenizer.ggml.tokens"]
    special = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return {
        # Not GPT2Tokenizer, which would replace the pre-tokenizer in tokenizer.json by its own.
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{key: tokens[settings[f"tokenizer.ggml.{name}_token_id"]] for key, name in special.items()},
        "model_max_length": settings["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": settings["tokenizer.chat_template"],
    }


def _write_weights(path: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    try:
        save_file(weights, path, metadata={"format": "pt"})
    except SafetensorError as error:  # how the library reports a full disk
        raise OSError(str(error)) from error


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
