"""Other people's causal rerankers, each served by one command, and what the service says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from contract.formats.named import NAMED_FORMATS
from contract.segments import Segments
from evaluation.cli import main
from service.models.calibration import calibrated
from service.models.formats import read_format_file
from service.models.store import resolve
from service.ranking import ScoreKind
from tests.contract.formats.references import erank, qwen3_reranker
from tests.evaluation import small_data
from tests.processes import ServerProcess, clean_environment
from tests.service.embedded_server import embedded_server
from tests.service.engines.expected_scores import expected_grade
from tests.service.engines.tiny_models import PlainLogits, save_tiny_model
from tests.service.models import logit_score_folders
from tests.service.models.logit_score_folders import save_logit_score
from tests.service.models.test_format_files import OWN
from tests.tokenizers import small_qwen3_like_tokenizer
from tests.warm import run_warm

QUERY = "what is a lipid?"
DOCUMENTS = ["Lipids are fats.", "The railway opened in 1825.\n", "光合作用把光能转化为化学能。"]


def raw_scores(server: ServerProcess) -> list[float]:
    answer = server.rerank({"query": QUERY, "texts": DOCUMENTS, "raw_scores": True})
    assert answer.status_code == 200, answer.text
    return [one["score"] for one in sorted(answer.json(), key=lambda one: int(one["index"]))]


@pytest.mark.timeout(300)
def test_qwen3_reranker_by_the_words_in_its_name(tmp_path: Path) -> None:
    """Everything that a caller and an operator are told of it."""
    tokenizer = small_qwen3_like_tokenizer()
    folder = save_tiny_model(tmp_path / "Qwen3-Reranker-0.6B", "qwen3", tokenizer)
    plain = PlainLogits(folder)
    with embedded_server(tmp_path, "--model", str(folder), "--engine", "transformers", "--dtype", "float32") as server:
        for document, score in zip(DOCUMENTS, raw_scores(server), strict=True):
            logits = plain.after(qwen3_reranker(tokenizer, QUERY, document, None))
            assert score == pytest.approx(float(logits[9693] - logits[2152]), abs=1e-3)
        info = server.get("/info").json()
        assert info["model"]["name"] == "Qwen3-Reranker-0.6B"
        assert info["model"]["format"] == "qwen3-reranker"
        assert info["model"]["verdict_tokens"] == {"true": 9693, "false": 2152}
        assert info["model"]["format_source"].startswith("the words in its name")
        assert info["model"]["score"] == "own"
        assert info["modes"] == ["direct"]
        assert info["start_check"]["passed"] is False, "a random model has nothing on its words"
        assert server.get("/v1/models").json()["data"][0]["score_kind"] == "own"
        answer = server.rerank({"query": QUERY, "documents": DOCUMENTS, "return_label_mass": True}).json()
        assert answer["meta"]["score_kind"] == "own"
        assert all(0 <= result["label_mass"] <= 1 for result in answer["results"])
        assert "label_mass" not in server.rerank({"query": QUERY, "documents": DOCUMENTS}).json()["results"][0]
        assert server.metric("limrank_start_check_failed") == 1
        assert server.metric("limrank_label_mass_count") == 9
        events = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        assert "model_suspect" in [event["event"] for event in events]
        medquad = str(small_data.medquad_folder(tmp_path / "medquad"))
        asked = ("--data", medquad, "--url", server.url, "--out", str(tmp_path / "out"), "--pairs", "50")
        assert main(["calibrate", *asked, "--fit-split", "train", "--fit-pairs", "30"]) == 0
    (file,) = (tmp_path / "out").rglob("calibration.json")
    fitted = calibrated(resolve(str(folder)), [str(file)])
    assert fitted.score is ScoreKind.FITTED, "what limrank-eval writes is what --calibration reads"
    assert fitted.manifest.temperatures.direct == json.loads(file.read_text())["temperature"]["value"]


@pytest.mark.timeout(300)
def test_a_graded_model_by_the_words_in_its_name(tmp_path: Path) -> None:
    """The mean grade, with "10" by a second read, its share of the highest, and the mass on the grades read first."""
    tokenizer = small_qwen3_like_tokenizer()
    folder = save_tiny_model(tmp_path / "ERank-4B", "qwen3", tokenizer)
    plain, closing = PlainLogits(folder), Segments(NAMED_FORMATS["erank"], tokenizer).closing
    with embedded_server(tmp_path, "--model", str(folder), "--engine", "transformers", "--dtype", "float32") as server:
        info = server.get("/info").json()
        assert (info["model"]["format"], info["model"]["score"]) == ("erank", "order")
        assert {"direct", "reasoning"} <= set(info["modes"])
        asked = {"query": QUERY, "documents": DOCUMENTS, "mode": "direct", "return_label_mass": True}
        ranked = {each["index"]: each for each in server.rerank(asked).json()["results"]}
        raw = server.rerank({"query": QUERY, "texts": DOCUMENTS, "raw_scores": True}).json()
        raws = {each["index"]: each["score"] for each in raw}
    for index, document in enumerate(DOCUMENTS):
        ids = [*erank(tokenizer, QUERY, document, None), *closing]
        mean = expected_grade("erank", plain, tokenizer, ids)
        assert raws[index] == pytest.approx(mean, abs=1e-3)
        assert ranked[index]["relevance_score"] == pytest.approx(mean / 10, abs=1e-4)
        mass = plain.probabilities(ids)[[tokenizer.token_to_id(str(grade)) for grade in range(10)]].sum()
        assert ranked[index]["label_mass"] == pytest.approx(float(mass), rel=1e-3, abs=1e-9)


@pytest.mark.timeout(300)
def test_a_llama_with_a_format_of_ones_own(tmp_path: Path) -> None:
    tokenizer = small_qwen3_like_tokenizer()
    folder = save_tiny_model(tmp_path / "my-llama", "llama", tokenizer)
    file = tmp_path / "mine.yaml"
    file.write_text(OWN)
    segments, plain = Segments(read_format_file(file), tokenizer), PlainLogits(folder)
    with embedded_server(tmp_path, "--model", str(folder), "--format", str(file)) as server:
        for document, score in zip(DOCUMENTS, raw_scores(server), strict=True):
            text = segments.format.text(QUERY, document)
            logits = plain.after(tokenizer.encode(text, add_special_tokens=False).ids)
            words = segments.reading.reads[0].answers
            true, false = logits[list(words[:2])].logsumexp(0), logits[list(words[2:])].logsumexp(0)
            assert score == pytest.approx(float(true - false) / 2, abs=1e-3)


@pytest.mark.timeout(300)
def test_logit_score_files_and_a_model_whose_score_is_an_order(tmp_path: Path) -> None:
    tokenizer = small_qwen3_like_tokenizer()
    folder = save_logit_score(tmp_path / "theirs", tokenizer, logit_score_folders.ZERANK, ("Yes", None))
    with embedded_server(tmp_path, "--model", str(folder)) as server:
        info = server.get("/info").json()
        assert info["model"]["format_source"] == "the LogitScore files in its folder"
        assert info["model"]["score"] == "order"
        answer = server.rerank({"query": QUERY, "documents": DOCUMENTS, "return_label_mass": True}).json()
        assert [result["label_mass"] for result in answer["results"]] == [None] * 3
        assert server.metric("limrank_label_mass_count") == 0


@pytest.mark.timeout(300)
def test_a_strict_server_does_not_start_with_a_suspect_model(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "zerank-2", "qwen3", small_qwen3_like_tokenizer())
    swapped = NAMED_FORMATS["qwen3-reranker"].to_json() | {"name": "mine"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(swapped))
    flags = ("--port", "0", "--strict-model", "--engine", "transformers", "--model", str(folder))
    done = run_warm("service.main", *flags, "--format", str(tmp_path / "mine.yaml"), env=clean_environment())
    assert done.returncode == 2
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("limrank-serve: ")
    assert "of the model's probability is on the words" in sentence
    assert "--strict-model" in sentence
