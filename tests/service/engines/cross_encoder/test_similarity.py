"""A cross-encoder with a bi-encoder beside it is served: without padding, in any format, and as what ships."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForSequenceClassification, BertModel

from retrieval.similarity_bert import SimilarityBertForSequenceClassification, join
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.engines.cross_encoder.model import CrossEncoderModel
from service.engines.cross_encoder.model import Pair as Ids
from service.engines.cross_encoder.similarity import Texts
from service.engines.loading import build_engine
from service.errors import ModelStoreError
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.models.store import resolve
from service.settings import Settings
from tests.seam import Job, score
from tests.service.engines.cross_encoder.tiny_classifiers import write_checkpoint
from tests.tokenizers import minilm_folder, minilm_tokenizer
from trainer.cross_encoder.checkpoint import write_small

QUERIES = ("How is the flu treated?", "Which railway was first?")
PASSAGES = ("Rest and fluids help.", "", "The first railway opened in 1825. " * 9, "short one", "another one")


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(4)
    classifier: Any = BertForSequenceClassification.from_pretrained(minilm_folder(), num_labels=1)
    bi_encoder: Any = BertModel.from_pretrained(minilm_folder())
    joined: Any = join(classifier, bi_encoder, 14.0)
    return joined.eval()


@pytest.fixture(scope="module")
def checkpoint(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model"), network, 1.0), "beside")


def alone(network: Any, query: str, passage: str) -> float:
    encoded = minilm_tokenizer().encode(query, passage)
    with torch.inference_mode():
        output = network(torch.tensor([encoded.ids]), token_type_ids=torch.tensor([encoded.type_ids]))
    return float(output.logits.item())


async def test_calls_together_score_as_one_pair_alone(network: Any, checkpoint: Checkpoint) -> None:
    engine = CrossEncoderEngine.load(checkpoint, dtype="float32", threads=2)
    jobs = [Job(call=query, query=query, passages=PASSAGES) for query in QUERIES]
    found = await asyncio.gather(*(score(engine, job) for job in jobs))
    await engine.close()
    expected = [[alone(network, query, passage) for passage in PASSAGES] for query in QUERIES]
    assert max(map(max, expected)) - min(map(min, expected)) > 3
    for verdicts, wanted in zip(found, expected, strict=True):
        assert [verdict.log_odds for verdict in verdicts] == pytest.approx(wanted, abs=1e-4)


def test_both_encoders_are_short_and_what_is_behind_them_is_float32(network: Any, checkpoint: Checkpoint) -> None:
    model = CrossEncoderModel.load(checkpoint.folder, dtype="bfloat16")
    assert model.packed
    inner = model._model
    assert isinstance(inner, SimilarityBertForSequenceClassification)
    assert {weight.dtype for weight in inner.similarity.parameters()} == {torch.bfloat16}
    assert inner.classifier.weight.dtype is torch.float32
    rows = [minilm_tokenizer().encode(QUERIES[0], passage) for passage in PASSAGES]
    pairs = [Ids(row.ids, row.type_ids.index(1)) for row in rows]
    expected = [alone(network, QUERIES[0], passage) for passage in PASSAGES]
    assert model.logits(pairs) == pytest.approx(expected, abs=0.3)


def test_a_query_is_computed_once_for_its_passages() -> None:
    pairs = [((1, 7, 2, 4, 5, 2), 3), ((1, 7, 2, 6, 2), 3), ((1, 8, 2, 6, 2), 3)]
    texts = Texts.of(pairs, torch.device("cpu"))
    assert texts.ids.tolist() == [[1, 7, 2, 1, 8, 2, 1, 4, 5, 2, 1, 6, 2, 1, 6, 2]]
    assert texts.positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 0, 1, 2]]
    assert (texts.lengths, texts.queries, texts.passages) == ((3, 3, 4, 3, 3), (0, 0, 1), (2, 3, 4))


def test_what_ships_leaves_the_bi_encoder_to_the_package(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shipped = tmp_path / "weights" / "limrank-mini-ce"
    shipped.mkdir(parents=True)
    write_small(shipped, checkpoint.folder)
    assert sum(file.stat().st_size for file in shipped.iterdir()) < 22_000_000
    found = resolve("limrank-mini-ce", weights=tmp_path / "weights", cache_dir=tmp_path / "cache")
    made, whole = (load_file(folder / "model.safetensors") for folder in (found.folder, checkpoint.folder))
    assert made.keys() == whole.keys()
    for name, tensor in made.items():
        kept = ".embeddings." in name or name.startswith("similarity.")
        assert torch.equal(tensor, whole[name] if kept else whole[name].half().float()), name
    CrossEncoderModel.load(found.folder, dtype="float32")


def test_vllm_does_not_know_it(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelStoreError, match="beside has a bi-encoder beside its classifier, which vLLM"):
        build_engine(Settings(engine="vllm"), checkpoint)
