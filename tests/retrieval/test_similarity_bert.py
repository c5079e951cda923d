"""The network is the classifier it was made from plus the cosine of sentence-transformers' vectors, whatever else is in
a batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification, BertModel

from retrieval.similarity_bert import EVEN, SimilarityBertForSequenceClassification, is_frozen, join, register
from tests.tokenizers import minilm_folder

PAIRS = [
    ("how is gout treated", "Gout is treated with colchicine."),
    ("what is love", "x"),
    ("how is gout treated", "Gout causes pain in the " + "toe " * 60),
    ("why " * 40, "Because."),
]
WEIGHT = 9.0


@pytest.fixture(scope="module")
def bi_encoder() -> Any:
    model: Any = BertModel.from_pretrained(minilm_folder())
    return model.eval()


@pytest.fixture(scope="module")
def classifier() -> Any:
    torch.manual_seed(3)
    model: Any = BertForSequenceClassification.from_pretrained(minilm_folder(), num_labels=1)
    return model.eval()


@pytest.fixture(scope="module")
def joined(classifier: Any, bi_encoder: Any) -> Any:
    network: Any = join(classifier, bi_encoder, WEIGHT)
    network.eval()
    return network


def encoded(pairs: list[tuple[str, str]]) -> dict[str, Tensor]:
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(pairs)
    return {
        "input_ids": torch.tensor([row.ids for row in rows]),
        "attention_mask": torch.tensor([row.attention_mask for row in rows]),
        "token_type_ids": torch.tensor([row.type_ids for row in rows]),
    }


def outputs(network: Any, pairs: list[tuple[str, str]]) -> list[float]:
    with torch.inference_mode():
        found: list[float] = network(**encoded(pairs)).logits[:, 0].tolist()
    return found


def test_it_adds_the_librarys_cosine_to_the_classifiers_output(joined: Any, classifier: Any) -> None:
    library = SentenceTransformer(str(minilm_folder()))
    queries, passages = (library.encode([pair[at] for pair in PAIRS], normalize_embeddings=True) for at in (0, 1))
    cosines = (queries * passages).sum(axis=1).tolist()
    expected = [
        output + WEIGHT * (cosine - EVEN) for output, cosine in zip(outputs(classifier, PAIRS), cosines, strict=True)
    ]
    assert max(cosines) - min(cosines) > 0.3
    assert outputs(joined, PAIRS) == pytest.approx(expected, abs=1e-4)


def test_neither_the_company_nor_the_attention_changes_an_output(joined: Any) -> None:
    alone = [outputs(joined, [pair])[0] for pair in PAIRS]
    assert outputs(joined, PAIRS) == pytest.approx(alone, abs=1e-4)
    before = joined.config._attn_implementation
    joined.set_attn_implementation("eager")
    assert outputs(joined, PAIRS) == pytest.approx(alone, abs=1e-4)
    joined.set_attn_implementation(before)


def test_it_is_saved_and_loaded_by_transformers(joined: Any, tmp_path: Path) -> None:
    register()
    register()
    joined.save_pretrained(tmp_path)
    loaded: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path, local_files_only=True)
    assert type(loaded) is SimilarityBertForSequenceClassification
    assert not any(weight.requires_grad for weight in loaded.similarity.parameters())
    assert outputs(loaded, PAIRS) == outputs(joined, PAIRS)
    original = load_file(minilm_folder() / "model.safetensors")
    frozen = {name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if is_frozen(name)}
    assert len(frozen) == sum(name.startswith("encoder.layer.") for name in original)
    assert all(torch.equal(each, original[name.replace("similarity.", "encoder.")]) for name, each in frozen.items())


def test_training_neither_moves_nor_shakes_the_bi_encoder(classifier: Any, bi_encoder: Any) -> None:
    network: Any = join(classifier, bi_encoder, WEIGHT)
    network.train()
    batch = encoded(PAIRS)
    cosines = [network._cosines(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]) for _ in range(2)]
    assert network.config.hidden_dropout_prob > 0
    assert torch.equal(*cosines)
    network(**batch).logits.sum().backward()
    moved = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert moved
    assert not any(map(is_frozen, moved))


def test_other_embeddings_and_other_layers_are_refused(classifier: Any) -> None:
    config = classifier.config.to_dict()
    with pytest.raises(ValueError, match="other word embeddings"):
        join(classifier, BertModel(BertConfig(**config)), WEIGHT)  # type: ignore[no-untyped-call]
    for name, value in (("num_hidden_layers", 2), ("num_attention_heads", 6), ("hidden_act", "relu")):
        other = BertModel(BertConfig(**config | {name: value}))  # type: ignore[no-untyped-call]
        with pytest.raises(ValueError, match=f"another {name}"):
            join(classifier, other, WEIGHT)


def test_without_token_types_nothing_says_where_the_passage_begins(joined: Any) -> None:
    with pytest.raises(ValueError, match="token types"):
        joined(encoded(PAIRS)["input_ids"])


def test_a_program_that_does_not_know_it_refuses_the_folder(joined: Any, tmp_path: Path) -> None:
    """Rather than load a BERT without the cosine."""
    joined.save_pretrained(tmp_path)
    code = "import sys, transformers; transformers.AutoModelForSequenceClassification.from_pretrained(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "limrank_similarity_bert" in done.stderr
