"""What `limrank-train merge` leaves, vLLM serves: the scores are those of the base with its adapter beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.checkpoint.manifest import read_manifest
from service.models.checkpoint import Checkpoint
from tests.processes import ServerProcess
from tests.service.engines.vllm.serving import ADAPTER
from trainer.sft.examples import load_segments
from trainer.sft.lora import load_base, load_lora
from trainer.sft.scorer import CausalScorer

QUERY = "How is gout treated?"
PASSAGES = [
    "Gout is treated with colchicine and anti-inflammatory drugs.",
    "Gout causes sudden pain, redness and swelling in a joint.",
    "Asthma is treated with inhaled medicines. " * 12,
]


def test_a_merged_adapter_scores_as_the_one_beside_its_base(
    embedded_checkpoint: Checkpoint, merged_model: Path, merged: ServerProcess
) -> None:
    base, manifest = embedded_checkpoint.folder, read_manifest(merged_model)
    assert manifest is not None
    tuned = CausalScorer(load_lora(load_base(base), ADAPTER), load_segments(base))
    expected = [odds / manifest.temperatures.direct for odds in tuned.score(QUERY, PASSAGES)]
    answer = merged.rerank({"query": QUERY, "texts": PASSAGES, "raw_scores": True})
    assert merged.get("/info").json()["model"]["fingerprint"] == manifest.fingerprint
    served = [one["score"] for one in sorted(answer.json(), key=lambda one: int(one["index"]))]
    assert served == pytest.approx(expected, abs=1e-3)
    assert max(expected) > 1 > -1 > min(expected), "an adapter that does nothing would prove nothing"
