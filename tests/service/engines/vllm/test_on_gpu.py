"""vLLM on a GPU, by the command that an operator types: a causal format, one word's logit, and a large classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.contract.formats.references import NAMED, tokenizer_named
from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.service.engines.expected_scores import expected_raw
from tests.service.engines.tiny_models import PlainLogits, save_tiny_model
from tests.service.engines.vllm.serving import require_vllm
from tests.service.engines.vllm.test_pooling import PASSAGES, QUERY, library

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.timeout(900),
]
SMALL = ("--dtype", "float32", "--max-model-len", "512", "--gpu-memory-utilization", "0.3")
TOLERANCE = 2e-2  # float32 on a GPU sums in another order, over scores of some tens


def raw_scores(running: ServerProcess, query: str, texts: list[str]) -> list[float]:
    answer = running.rerank({"query": query, "texts": texts, "raw_scores": True})
    assert answer.status_code == 200, answer.text
    return [one["score"] for one in sorted(answer.json(), key=lambda one: int(one["index"]))]


@pytest.mark.parametrize("name", ["qwen3-reranker", "zerank", "tfrank"])
def test_a_causal_format(name: str, tmp_path: Path) -> None:
    """`auto` chooses vLLM for a causal model."""
    require_vllm()
    named = next(each for each in NAMED if each.format == name)
    tokenizer = tokenizer_named("qwen3-like")
    folder = save_tiny_model(tmp_path / "model", "qwen3", tokenizer, head_dim=64)
    plain, texts = PlainLogits(folder), ["Lipids are fats.", "The railway opened in 1825.\n", "光合作用"]
    flags = ("--model", str(folder), "--format", name, *SMALL)
    with server("service.main", free_port(), tmp_path, *flags) as running:
        assert running.get("/info").json()["engine"]["name"] == "vllm"
        assert running.get("/info").json()["engine"]["device"] == "cuda"
        found = raw_scores(running, "what is a lipid?", texts)
    references = [named.reference(tokenizer, "what is a lipid?", text, None) for text in texts]
    assert found == pytest.approx([expected_raw(name, plain, tokenizer, ids) for ids in references], abs=TOLERANCE)


@pytest.mark.parametrize("family", ["bert", "qwen2", "mistral"])
def test_a_classifier(family: str, tmp_path: Path) -> None:
    """Only where it is named: `auto` takes the cross-encoder engine."""
    require_vllm()
    heads: dict[str, Any] = {"hidden_size": 128, "num_attention_heads": 2, "head_dim": 64, "sliding_window": None}
    folder = write_classifier(tmp_path / family, family, **heads)
    found = {}
    for engine in ("vllm", "auto"):
        limits = ("--max-model-len", "128", "--gpu-memory-utilization", "0.3") if engine == "vllm" else ()
        flags = ("--model", str(folder), "--engine", engine, "--dtype", "float32", *limits)
        with server("service.main", free_port(), tmp_path, *flags) as running:
            info = running.get("/info").json()["engine"]
            found[info["name"]] = raw_scores(running, QUERY, list(PASSAGES))
            assert info["device"] == "cuda"
    assert set(found) == {"vllm", "cross-encoder"}
    for scores in found.values():
        assert scores == pytest.approx(library(folder), abs=TOLERANCE)
