"""The baselines of the Hugging Face kind: a real bi-encoder, and a cross-encoder of two layers with random weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, T5EncoderModel

from evaluation.benchmarks.names import named
from evaluation.benchmarks.task import Query
from evaluation.cli import main
from evaluation.errors import BadSettings
from evaluation.first_stage import candidates
from evaluation.scorers.encoders import BiEncoder, PublicCrossEncoder, short_name
from retrieval import bi_encoder as retrieval_bi_encoder
from service.models.embedded_cross_encoder import packaged_encoder
from tests.evaluation import small_data


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package that carries it, which is not imported."""
    return packaged_encoder()


def test_a_bi_encoder_searches_and_scores_alike(minilm: Path, tmp_path: Path) -> None:
    task = named("beir").open("test", small_data.beir_folder(tmp_path), None)
    found, stage = candidates(task, list(task.queries), f"search:{minilm}", 3)
    assert stage == "search:model"
    assert {query: next(iter(documents)) for query, documents in found.items()} == small_data.ANSWERS
    scorer = BiEncoder(str(minilm))
    scorer.prepare(task)
    texts = [(document, task.documents[document]) for document in found["q1"]]
    scored = scorer.score(task.queries[0], texts)
    assert [one.score for one in scored] == pytest.approx(list(found["q1"].values()), abs=1e-5)
    assert scorer.identity()["max_tokens"] == 256
    told, joined = (
        scorer.score(query, texts)[0].score
        for query in (
            Query(id="q", text="bread", instruction="Why it rises."),
            Query(id="q", text="bread Why it rises."),
        )
    )
    assert told == joined


def test_a_bi_encoders_own_prompt_for_queries_is_used(minilm: Path, tmp_path: Path) -> None:
    shutil.copytree(minilm, tmp_path / "prompted")
    path = tmp_path / "prompted" / "config_sentence_transformers.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | {"prompts": {"query": "find: ", "document": ""}}))
    texts = [("tea-1", "Green tea is steeped at eighty degrees.")]
    plain, prompted = (BiEncoder(str(folder)) for folder in (minilm, tmp_path / "prompted"))
    spelt = plain.score(Query(id="q", text="find: how is tea steeped"), texts)[0].score
    assert prompted.score(Query(id="q", text="how is tea steeped"), texts)[0].score == pytest.approx(spelt, abs=1e-6)
    assert plain.score(Query(id="q", text="how is tea steeped"), texts)[0].score != pytest.approx(spelt, abs=1e-4)


def small_cross_encoder(folder: Path, minilm: Path, kind: str = "bert", **settings: int) -> Any:
    """A cross-encoder of two thin layers with MiniLM's tokenizer, in `folder` and as it is."""
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model(kind, num_labels=1, **sizes, **settings)
    model: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    model.eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(minilm / name, folder / name)
    return model


def test_a_cross_encoder_gives_its_raw_output(minilm: Path, tmp_path: Path) -> None:
    model = small_cross_encoder(tmp_path / "ce", minilm)
    task = named("beir").open("test", small_data.beir_folder(tmp_path / "own"), None)
    scorer = PublicCrossEncoder(str(tmp_path / "ce"), max_tokens=64)
    scorer.prepare(task)
    query, texts = replace(task.queries[0], instruction="Only bread counts."), list(task.documents.items())
    scored = scorer.score(query, texts)
    with torch.no_grad():
        encoded = AutoTokenizer.from_pretrained(tmp_path / "ce")(
            [f"{query.text} Only bread counts."] * len(texts),
            [text for _, text in texts],
            padding=True,
            truncation=True,
            return_tensors="pt",
        )
        plain = model(**encoded).logits[:, 0]
    assert [one.score for one in scored] == pytest.approx(plain.tolist(), abs=1e-5)
    assert len({round(one.score, 6) for one in scored}) > 1


def small_encoder(folder: Path, minilm: Path, kind: str, **settings: int) -> None:
    """An encoder of 64 rows of positions with MiniLM's tokenizer, which states no length."""
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if kind != "t5":
        settings = {"max_position_embeddings": 64, **sizes, **settings}
    config: Any = AutoConfig.for_model(kind, vocab_size=30522, pad_token_id=1, **settings)
    model: Any = T5EncoderModel(config) if kind == "t5" else AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(minilm / name, folder / name)
    stated = json.loads((minilm / "tokenizer_config.json").read_text())
    kept = {name: value for name, value in stated.items() if "max_len" not in name}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(("kind", "positions"), [("mpnet", 62), ("roberta", 62), ("bert", 64)])
@pytest.mark.parametrize("asked", [None, 50, 600])
def test_a_pair_is_cut_to_the_positions_that_the_model_has(
    minilm: Path, tmp_path: Path, kind: str, positions: int, asked: int | None
) -> None:
    """Also where the tokenizer states no length."""
    small_cross_encoder(tmp_path / "ce", minilm, kind, vocab_size=30522, max_position_embeddings=64, pad_token_id=1)
    path = tmp_path / "ce" / "tokenizer_config.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in stated.items() if "max_len" not in name}))
    scorer = PublicCrossEncoder(str(tmp_path / "ce"), max_tokens=asked)
    long, longer = ("long", "cat " * 400), ("longer", "cat " * 800)
    scored = scorer.score(Query(id="q", text="how is tea steeped"), [long, longer, ("other", "bird")])
    assert scored[0].score == pytest.approx(scored[1].score)
    assert scored[0].score != pytest.approx(scored[2].score)
    assert scorer._model.max_seq_length == min(positions, asked or positions)


@pytest.mark.parametrize(("kind", "positions"), [("mpnet", 62), ("roberta", 62), ("bert", 64), ("distilbert", 64)])
@pytest.mark.parametrize("asked", [None, 50, 600])
def test_a_bi_encoder_s_inputs_are_cut_to_the_positions_that_the_model_has(
    minilm: Path, tmp_path: Path, kind: str, positions: int, asked: int | None
) -> None:
    """Whatever is asked for, also where the tokenizer states no length."""
    small_encoder(tmp_path / "bi", minilm, kind)
    encoder = retrieval_bi_encoder.BiEncoder(tmp_path / "bi", max_tokens=asked)
    long, longer, other = encoder.encode_passages(["cat " * 400, "cat " * 800, "bird"])
    assert long == pytest.approx(longer, abs=1e-6)
    assert long != pytest.approx(other, abs=1e-6)
    assert encoder.max_tokens == min(positions, asked or positions)


def test_a_bi_encoder_without_a_table_of_positions_reads_what_is_asked_for(minilm: Path, tmp_path: Path) -> None:
    """T5 tells places apart by distance; a static model has no places at all."""
    small_encoder(tmp_path / "t5", minilm, "t5", d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    assert retrieval_bi_encoder.BiEncoder(tmp_path / "t5", max_tokens=600).max_tokens == 600
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)]).save(str(tmp_path / "static"))
    for asked in (None, 600):
        static = retrieval_bi_encoder.BiEncoder(tmp_path / "static", max_tokens=asked)
        assert static.max_tokens is None
        assert static.encode_passages(["cat " * 600]).shape == (1, 8)


@pytest.mark.parametrize("flag", ["--bi-encoder", "--first-stage"])
def test_a_run_with_an_encoder_of_few_positions_and_long_documents_ends(
    minilm: Path, tmp_path: Path, flag: str
) -> None:
    small_encoder(tmp_path / "bi", minilm, "mpnet")
    data = small_data.beir_folder(tmp_path / "own")
    with (data / "corpus.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"_id": "long", "title": "", "text": "bread " * 900}) + "\n")
    words = ["run", "beir", "--data", str(data), "--out", str(tmp_path / "out")]
    if flag == "--bi-encoder":
        words += [flag, str(tmp_path / "bi"), "--max-tokens-per-doc", "600"]
    else:
        words += ["--bm25", flag, f"search:{tmp_path / 'bi'}"]
    assert main(words) == 0


def test_scores_of_another_model_of_the_same_name_are_refused(
    minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where nothing else tells them apart: the weights behind hub ids are not hashed."""
    small_cross_encoder(tmp_path / "one" / "ce", minilm)
    shutil.copytree(tmp_path / "one" / "ce", tmp_path / "other" / "ce")
    small_data.beir_folder(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    words = ["run", "beir", "--data", "own", "--out", "out", "--cross-encoder"]
    assert main([*words, "one/ce"]) == 0
    assert main([*words, "one/ce"]) == 0
    assert main([*words, "other/ce"]) == 2
    assert "scores made otherwise (model: 'one/ce' there, 'other/ce' now)" in capsys.readouterr().err


def test_a_hub_id_is_told_with_its_owner_and_a_folder_by_its_last_part(tmp_path: Path) -> None:
    assert (short_name("one/ce"), short_name("other/ce")) == ("one/ce", "other/ce")
    (tmp_path / "ce").mkdir()
    assert short_name(f"{tmp_path}/ce/") == "ce"


def test_an_encoder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"The bi-encoder '.*' cannot be loaded"):
        BiEncoder(str(tmp_path / "none"))
    with pytest.raises(BadSettings, match=r"The cross-encoder '.*' cannot be loaded"):
        PublicCrossEncoder(str(tmp_path / "none"))
