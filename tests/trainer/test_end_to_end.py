"""From training data to a measured service, on a small base: export -> sft -> merge -> serve -> rerank -> eval.

Twelve steps teach nothing worth serving; what is proven is that every part takes what the part before it leaves, that
the loss falls, and that the service's scores are those of the model that was trained.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.records import read_records, write_records
from evaluation.cli import main as evaluate
from retrieval.trec import read_run
from service.models.checkpoint import Checkpoint
from synth.cli import main as synth
from tests.evaluation.small_data import ANSWERS, DOCUMENTS, FOUND, QUERIES, beir_folder
from tests.trainer.examples import records
from tests.trainer.running import sft_flags, train
from trainer.sft.examples import load_segments
from trainer.sft.lora import load_base, load_lora
from trainer.sft.scorer import CausalScorer


@pytest.mark.usefixtures("warm_services")
def test_every_part_takes_what_the_one_before_leaves(
    small_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = small_checkpoint.folder
    write_records(tmp_path / "made.jsonl", records(8))
    assert synth(["export", str(tmp_path / "train.jsonl"), "--mix", str(tmp_path / "made.jsonl")]) == 0
    assert len(list(read_records(tmp_path / "train.jsonl"))) == 8

    training = {"epochs": 6, "batch": 4, "device_batch": 4, "learning_rate": 0.002, "dropout": 0.0, "max_tokens": 110}
    train(sft_flags(base, tmp_path / "train.jsonl", tmp_path / "run", **training))
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.9 * losses[0]

    merged = tmp_path / "merged"
    words = ["--base", str(base), "--adapter", str(tmp_path / "run" / "adapter"), "--out", str(merged)]
    train(["merge", *words, "--dtype", "float32"])

    data = beir_folder(tmp_path / "beir")
    asked = ["run", "beir", "--data", str(data), "--model", str(merged), "--queries", "1", "--depth", "2"]
    assert evaluate([*asked, "--threads", "2", "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").rglob("result.json")
    result = json.loads(path.read_text())
    assert result["identity"]["fingerprint"] == json.loads((merged / "reranker.json").read_text())["fingerprint"]

    ((query, served),) = read_run(path.with_name("run.trec")).items()
    tuned = CausalScorer(load_lora(load_base(base), tmp_path / "run" / "adapter"), load_segments(base))
    names = FOUND[query][:2]
    passages = [" ".join(DOCUMENTS[name]) for name in names]
    expected = dict(zip(names, tuned.score(QUERIES[query], passages), strict=True))
    assert served.keys() == expected.keys()
    for name, odds in expected.items():
        assert served[name] == pytest.approx(odds, abs=2e-3)
    assert query in ANSWERS
