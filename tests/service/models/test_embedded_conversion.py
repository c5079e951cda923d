"""The converter on a tiny file, where every value can be compared, and on the real one, which must speak English."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from service.errors import ConversionError
from service.models.checkpoint import Checkpoint
from service.models.gguf import convert
from tests.service.models.tiny_gguf import SPECIALS, kind, random_weights, vocabulary, write_tiny_gguf

PARAGRAPH = (
    "The Industrial Revolution was the transition to new manufacturing processes in Great Britain, continental Europe, "
    "and the United States, from around 1760 to about 1840. This transition included going from hand production "
    "methods to machines; new chemical manufacturing and iron production processes; the increasing use of water "
    "power and steam power; the development of machine tools; and the rise of the mechanized factory system."
)


@pytest.fixture(scope="module")
def tiny(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(tiny_gguf, folder)
    return folder


def test_every_tensor_is_the_dequantised_original(tiny: Path) -> None:
    found, originals = load_file(tiny / "model.safetensors"), random_weights()
    assert found.keys() == originals.keys()
    for name, original in originals.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], dequantize(quantize(original, kind(name)), kind(name)), name)


def test_the_tiny_model_loads_without_a_warning_and_its_output_layer_is_tied(tiny: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded: Any = AutoModelForCausalLM.from_pretrained(tiny, output_loading_info=True)
        AutoTokenizer.from_pretrained(tiny)
    model, report = loaded
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.dtype == torch.float32
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert model.generation_config.eos_token_id == 2


@pytest.mark.parametrize(("pre", "drop", "named"), [("llama-bpe", "", "'llama-bpe'"), ("smollm", "ffn_up", "up_proj")])
def test_another_kind_of_model_is_refused(tmp_path: Path, pre: str, drop: str, named: str) -> None:
    write_tiny_gguf(tmp_path / "other.gguf", pre=pre, drop=drop)
    with pytest.raises(ConversionError, match=named):
        convert(tmp_path / "other.gguf", tmp_path)


def test_a_tensor_without_a_place_is_refused(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "other.gguf", random_weights() | {"output.weight": np.ones((4, 64), np.float32)})
    with pytest.raises(ConversionError, match=r"'output\.weight' has no place"):
        convert(tmp_path / "other.gguf", tmp_path)


@pytest.mark.parametrize("length", [0, 3, 1000, 40_000])
def test_a_file_cut_short_is_refused(tmp_path: Path, tiny_gguf: Path, length: int) -> None:
    (tmp_path / "cut.gguf").write_bytes(tiny_gguf.read_bytes()[:length])
    with pytest.raises(ConversionError, match="not a whole GGUF file"):
        convert(tmp_path / "cut.gguf", tmp_path)


def test_digits_stand_alone_and_specials_are_special(embedded_checkpoint: Checkpoint) -> None:
    ours = Tokenizer.from_file(str(embedded_checkpoint.folder / "tokenizer.json"))
    assert ours.encode("In 1984,").tokens == ["In", "Ġ", "1", "9", "8", "4", ","]
    # Without the digits pre-tokenizer, the second space would go with the digit: Ġ, Ġ, 7.
    assert ours.encode("a  7").tokens == ["a", "ĠĠ", "7"]
    added = ours.get_added_tokens_decoder()
    assert sorted(added) == list(range(17))
    assert all(token.special and not token.normalized for token in added.values())
    assert ours.encode("<|im_start|>user<|im_end|>").ids == [1, ours.token_to_id("user"), 2]
    assert ours.encode("Hello").ids == [19556]


@pytest.mark.parametrize(
    "text", ["In 1984,  42 cats don't\n\n 7", " ünï 日本 🙂", "<think> a</think> true", "\t\r\n  "]
)
def test_transformers_tokenises_as_the_file_says_and_text_comes_back(
    embedded_checkpoint: Checkpoint, text: str
) -> None:
    ours = Tokenizer.from_file(str(embedded_checkpoint.folder / "tokenizer.json"))
    theirs = AutoTokenizer.from_pretrained(embedded_checkpoint.folder)
    assert theirs(text).input_ids == ours.encode(text).ids
    assert ours.decode(ours.encode(text).ids, skip_special_tokens=False) == text
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == ("<|im_start|>", "<|im_end|>", "<|im_end|>")


def test_the_configuration_is_that_of_the_published_model(embedded_checkpoint: Checkpoint) -> None:
    config = AutoConfig.from_pretrained(embedded_checkpoint.folder)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (576, 30, 49152)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (9, 3, 64)
    assert (config.rms_norm_eps, config.rope_parameters["rope_theta"]) == (1e-5, 100000.0)
    assert (config.max_position_embeddings, config.intermediate_size) == (8192, 1536)
    assert getattr(config, "quantization_config", None) is None


def test_the_model_predicts_english_and_answers(embedded_checkpoint: Checkpoint) -> None:
    """With the rows of q and k in the file's order the perplexity is 59 instead of 10."""
    model: Any = AutoModelForCausalLM.from_pretrained(embedded_checkpoint.folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(embedded_checkpoint.folder)
    ids = tokenizer(PARAGRAPH, return_tensors="pt").input_ids
    with torch.inference_mode():
        assert math.exp(model(ids, labels=ids).loss) < 15
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    chat = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    written = model.generate(**tokenizer(chat, return_tensors="pt"), max_new_tokens=12, do_sample=False)
    assert "<|im_start|>assistant\nThe capital of France is Paris" in tokenizer.decode(written[0])


def test_the_tiny_tokenizer_has_the_vocabulary_of_its_file(tiny: Path) -> None:
    stated = json.loads((tiny / "tokenizer.json").read_text(encoding="utf-8"))
    assert list(stated["model"]["vocab"]) == vocabulary()
    assert [token["content"] for token in stated["added_tokens"]] == SPECIALS
