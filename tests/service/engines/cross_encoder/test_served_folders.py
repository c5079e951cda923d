"""`limrank-serve --model FOLDER`, one real command each: folders without a manifest are served or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder

from tests.ports import free_port
from tests.processes import clean_environment, server
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.warm import run_warm

QUERY = "How is the flu treated?"
PASSAGES = ("Rest and fluids help.", "The first railway opened in 1825.", "")


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_a_folder_is_served_by_one_command(family: str, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / family, family)
    model = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    pairs = [(QUERY, passage) for passage in PASSAGES]
    expected = dict(enumerate(model.predict(pairs, activation_fn=torch.nn.Identity()).tolist()))
    with server("service.main", free_port(), tmp_path, "--model", str(folder), "--dtype", "float32") as running:
        raw = running.rerank({"query": QUERY, "texts": list(PASSAGES), "raw_scores": True}).json()
        ranked = running.rerank({"query": QUERY, "documents": list(PASSAGES)}).json()["results"]
        info = running.get("/info").json()
        assert running.stop() == 0
    assert {each["index"]: each["score"] for each in raw} == pytest.approx(expected, abs=1e-4)
    assert [each["index"] for each in ranked] == sorted(expected, key=lambda index: -expected[index])
    assert all(0 <= each["relevance_score"] <= 1 for each in ranked)
    assert (info["engine"]["name"], info["model"]["name"], info["model"]["score"]) == ("cross-encoder", family, "order")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "has 3 outputs"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "is an encoder-decoder"),
        ({"model_type": "own", "auto_map": {"AutoModel": "modeling_own.Own"}}, "needs the code that comes with it"),
    ],
)
def test_a_folder_that_no_engine_runs_is_refused_by_name(config: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "bert", "bert")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    flags = ("--model", str(folder), "--port", str(free_port()))
    ended = run_warm("service.main", *flags, env=clean_environment())
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"limrank-serve: {folder} ")
    assert sentence in last
    assert "Traceback" not in ended.stderr
