"""Classifiers whose networks differ from BERT's in what padding, token types and positions are to them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.engines.cross_encoder.model import CrossEncoderModel
from service.errors import ModelStoreError
from service.models.checkpoint import open_checkpoint
from tests.seam import Job, score
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.tokenizers import minilm_folder

QUERY = "how is the flu treated"
PASSAGES = ("rest", "the railway opened in 1825 " * 5, "", "fluids and rest", "coal, then people " * 3, "antiviral")
_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_BERTS = _SIZES | {"max_position_embeddings": 128, "type_vocab_size": 2}
READ_PADDING: dict[str, dict[str, Any]] = {
    "convbert": _BERTS | {"embedding_size": 16},
    "fnet": _BERTS,
}
TYPES_AS_WORDS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "rotary_dim": 8},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 128},
}


def write(folder: Path, model_type: str, settings: Mapping[str, Any], limit: int | None = None) -> Path:
    """A tiny random model with MiniLM's tokenizer, which gives token types; `limit`: its model_max_length."""
    tokenizer: Any = AutoTokenizer.from_pretrained(minilm_folder())
    tokenizer.model_max_length = limit or 10**30
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
    given = {"vocab_size": len(tokenizer), "initializer_range": 0.4, "embed_init_std": 0.4, "init_std": 0.4}
    config: Any = AutoConfig.for_model(model_type, **given | ids | dict(settings), num_labels=1)
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(folder)
    return folder


def library(folder: Path) -> list[float]:
    """One pair at a time, so that nothing is padded."""
    model: Any = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    pairs = [(QUERY, passage) for passage in PASSAGES]
    return [float(each) for each in model.predict(pairs, activation_fn=torch.nn.Identity(), batch_size=1)]


async def served(folder: Path) -> list[float]:
    """All in one call, and so in one batch."""
    engine = CrossEncoderEngine.load(open_checkpoint(folder, "model"), dtype="float32")
    try:
        verdicts = await score(engine, Job("one", QUERY, PASSAGES))
        return [verdict.log_odds for verdict in sorted(verdicts, key=lambda verdict: verdict.index)]
    finally:
        await engine.close()


@pytest.mark.parametrize("model_type", READ_PADDING)
async def test_the_company_in_a_batch_never_changes_a_score(model_type: str, tmp_path: Path) -> None:
    """Convolutions and Fourier transforms run over a whole row, padding included."""
    folder = write(tmp_path / "model", model_type, READ_PADDING[model_type])
    expected = library(folder)
    assert await served(folder) == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.1


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2", "modernbert", "distilbert"])
def test_padding_that_is_masked_is_not_taken_for_read(family: str, tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        folder = write_classifier(tmp_path / dtype, family)
        model = CrossEncoderModel.load(folder, dtype=dtype)
        assert not model.packed
        assert not model.reads_padding()


@pytest.mark.parametrize("model_type", TYPES_AS_WORDS)
async def test_token_types_that_are_embedded_as_words(model_type: str, tmp_path: Path) -> None:
    """Their configurations count no types, but a tokenizer that gives some is heard, as by the library."""
    folder = write(tmp_path / "model", model_type, TYPES_AS_WORDS[model_type])
    assert await served(folder) == pytest.approx(library(folder), abs=1e-4)


async def test_a_model_without_positions_reads_what_its_files_allow(tmp_path: Path) -> None:
    """Bloom's attention has biases by distance instead."""
    settings = {"hidden_size": 32, "n_layer": 2, "n_head": 4}
    folder = write(tmp_path / "limited", "bloom", settings, limit=96)
    checkpoint = open_checkpoint(folder, "model")
    assert CrossEncoderEngine.load(checkpoint).capabilities.max_model_tokens == 96
    assert await served(folder) == pytest.approx(library(folder), abs=1e-4)
    folder = write(tmp_path / "unlimited", "bloom", settings)
    with pytest.raises(ModelStoreError, match=r"state it as max_seq_length in its sentence_bert_config\.json\.$"):
        CrossEncoderEngine.load(open_checkpoint(folder, "model"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    assert CrossEncoderEngine.load(open_checkpoint(folder, "model")).capabilities.max_model_tokens == 64


def test_a_network_that_needs_more_than_ids_is_refused_at_start(tmp_path: Path) -> None:
    """X-MOD needs a language, which no file states here."""
    folder = write(tmp_path / "model", "xmod", _BERTS | {"languages": ["en_XX"]})
    with pytest.raises(ModelStoreError, match=r"computes nothing from the ids of a pair alone .*language") as refusal:
        CrossEncoderEngine.load(open_checkpoint(folder, "model"))
    assert "\n" not in str(refusal.value)
