"""The script for a GPU, on CPUs with tiny settings: it plans, trains both models and says when they are done."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForSequenceClassification

from contract.records import Difficulty, Intent, NegativeType, Record, write_records
from contract.scored_groups import ScoredGroup, write_scored_groups
from tests.tokenizers import copy_minilm_tokenizer, minilm_folder
from tests.trainer.running import TrainerProcess
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[3]
TINY = "--max-steps 1 --batch 2 --device-batch 2 --max-tokens 96 --precision float32"


@pytest.fixture
def runs(tmp_path: Path, small_model: Path) -> Path:
    """What `make` builds before: MedQuAD's cross-encoder, groups, records, ids to leave out, and the base."""
    shutil.copytree(small_model, tmp_path / "base")
    classifier: Any = BertForSequenceClassification.from_pretrained(minilm_folder(), num_labels=1)
    classifier.save_pretrained(tmp_path / "mini-ce" / "model")
    copy_minilm_tokenizer(tmp_path / "mini-ce" / "model")
    (tmp_path / "calibration").mkdir()
    for path in (tmp_path / "calibration" / "ids.txt", tmp_path / "exclude_from_training.txt"):
        path.write_text("q7\n")
    about: dict[str, Any] = {"source": "made", "licence": "CC0-1.0", "domain": "things"}
    write_scored_groups(
        tmp_path / "scored.jsonl",
        (
            ScoredGroup(
                id=f"general/q{number}",
                query=f"how heavy is thing {number}",
                passages=(f"Thing {number} weighs {number} kg.", f"Thing {number} is blue.", "Rain falls."),
                positive=0,
                teacher=(0.8, 0.5, 0.1),
                **about,
            )
            for number in range(8)
        ),
    )
    write_records(
        tmp_path / "evidence.jsonl",
        (
            Record(
                id=f"general/q{number}/0",
                query=f"how heavy is thing {number}",
                passage=f"Thing {number} is blue.",
                relevant=False,
                trace='Asked: how heavy? It says: "Thing is blue." So the passage is not relevant.'
                if number % 2
                else None,
                difficulty=Difficulty.DIRECT,
                negative_type=NegativeType.BM25,
                intent=Intent.DIRECT,
                **about,
            )
            for number in range(8)
        ),
    )
    return tmp_path


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_both_models_are_planned_and_trained_and_not_twice(runs: Path) -> None:
    environment = {
        **os.environ,
        "MINILM": str(minilm_folder()),
        "MINUTES": "4",
        "CE_FLAGS": f"{TINY} --calibration 2",
        "SFT_FLAGS": TINY,
    }
    command = ["bash", str(ROOT / "recipes" / "limrank_mini" / "on_gpu.sh"), str(runs), "h200"]

    def run() -> str:
        with (
            tempfile.TemporaryDirectory() as folder,
            warm_python(Path(folder), ["TOKENIZERS_PARALLELISM"], TrainerProcess) as python,
        ):
            given = environment | {"PYTHON": str(python)}
            done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    said = run()
    assert said.count("It fits.") == 2
    assert "Both are trained" in said
    assert (runs / "mini-ce-general" / "model" / "reranker.json").is_file()
    assert (runs / "mini-general" / "adapter" / "adapter_config.json").is_file()
    assert run() == "Both are trained; make goes on from here.\n"
