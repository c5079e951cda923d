"""What `limrank-train merge` leaves, vLLM serves: the scores are those of the base with its adapter beside it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from contract.manifest import read_manifest
from service.models.checkpoint import Checkpoint
from tests.service.engines.vllm.serving import require_vllm, vllm_server
from tests.waiting import PATIENCE
from trainer.cli import run
from trainer.sft.examples import load_segments
from trainer.sft.lora import load_base, load_lora
from trainer.sft.scorer import CausalScorer

ADAPTER = Path(__file__).parents[4] / "service" / "weights" / "limrank-mini"
QUERY = "How is gout treated?"
PASSAGES = [
    "Gout is treated with colchicine and anti-inflammatory drugs.",
    "Gout causes sudden pain, redness and swelling in a joint.",
    "Asthma is treated with inhaled medicines. " * 12,
]


def test_a_merged_adapter_scores_as_the_one_beside_its_base(embedded_checkpoint: Checkpoint, tmp_path: Path) -> None:
    require_vllm()
    base, merged = embedded_checkpoint.folder, tmp_path / "merged"
    words = ["--base", str(base), "--adapter", str(ADAPTER), "--out", str(merged), "--dtype", "float32"]
    assert run(["merge", *words]) == 0
    manifest = read_manifest(merged)
    assert manifest is not None
    tuned = CausalScorer(load_lora(load_base(base), ADAPTER), load_segments(base))
    expected = [odds / manifest.temperatures.direct for odds in tuned.score(QUERY, PASSAGES)]
    with vllm_server(tmp_path, "--model", str(merged)) as server:
        asked = {"query": QUERY, "texts": PASSAGES, "raw_scores": True}
        answer = httpx.post(f"{server.url}/rerank", json=asked, timeout=PATIENCE)
        assert server.get("/info").json()["model"]["fingerprint"] == manifest.fingerprint
    served = [one["score"] for one in sorted(answer.json(), key=lambda one: int(one["index"]))]
    assert served == pytest.approx(expected, abs=1e-3)
    assert max(expected) > 1 > -1 > min(expected), "an adapter that does nothing would prove nothing"
