"""A model's own traces as training data: written by the real service with the embedded model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contract.records import read_records
from trainer.train import run


def test_the_chosen_records_get_the_traces_the_model_writes(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "own.jsonl"
    words = ["own-traces", "--model", "limrank-mini", "--data", str(records_file), "--out", str(out)]
    words += ["--model-licence", "Apache-2.0", "--sample", "12", "--trace-tokens", "96"]
    words += ["--direct-share", "0.5", "--leave-out", "crafts"]
    assert run(words) == 0
    before = {record.id: record for record in read_records(records_file)}
    made = list(read_records(out))
    told = [record for record in made if record.trace is not None]
    assert (
        f"{len(told)} records with a trace of the model's own, {len(made) - len(told)} without"
        in capsys.readouterr().out
    )
    assert 2 <= len(told) <= 10
    for record in made:
        licence = "CC0-1.0" if record.trace is None else "Apache-2.0 AND CC0-1.0"
        assert replace(record, trace=None) == replace(before[record.id], trace=None, licence=licence)
    assert all(record.domain == "materials" for record in made)
    for record in told:
        assert record.trace != before[record.id].trace
        assert (record.trace or "").startswith("The query asks about"), "limrank-mini's own wording"


def test_a_model_that_is_not_there_is_one_sentence(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.jsonl"
    words = ["own-traces", "--data", str(records_file), "--sample", "4", "--out", str(out)]
    assert run([*words, "--model", str(tmp_path / "nothing")]) == 2
    assert "limrank-serve exited with" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "file").write_text("")
    assert run([*words[:-1], str(tmp_path / "file" / "own.jsonl"), "--model", "limrank-mini"]) == 2
    assert "cannot be written" in capsys.readouterr().err
