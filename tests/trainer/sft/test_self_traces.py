"""A model's own traces as training data: written by the real service with the embedded model."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contract.about import beside, stated_cost
from contract.records import read_records
from tests.trainer.running import start
from trainer.cli import run

pytestmark = pytest.mark.timeout(300)  # a service is started up to three times
WORDS = ["own-traces", "--model", "limrank-mini", "--model-licence", "Apache-2.0", "--trace-tokens", "96"]


def test_the_chosen_records_get_the_traces_the_model_writes(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "made" / "own.jsonl", tmp_path / "records.jsonl"
    data.write_bytes(records_file.read_bytes())
    beside(data).write_text('{"cost": 12.5}')
    words = ["--data", str(data), "--out", str(out), "--sample", "12"]
    assert run([*WORDS, *words, "--direct-share", "0.5", "--leave-out", "crafts"]) == 0
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
    assert not (tmp_path / "made" / "own.jsonl.traces").exists()
    assert stated_cost(out) == 12.5, "what it was made from"


def test_after_a_kill_only_what_is_missing_is_asked(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "own.jsonl", tmp_path / "own.jsonl.traces" / "scores.jsonl"
    words = [*WORDS, "--data", str(records_file), "--out", str(out), "--sample", "8", "--concurrency", "1"]
    process = start(words)
    try:
        deadline = time.monotonic() + 120
        while not kept.exists() or kept.read_bytes().count(b"\n") < 3:  # the header and two traces
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert not out.exists()
    header, first, *rest = kept.read_text().splitlines()
    assert len(rest) < 7, "killed before the end"
    mark = "The query asks about what nobody else writes."
    made = {"traces": [mark], "statuses": ["complete"]}
    kept.write_text("\n".join([header, json.dumps(json.loads(first) | made), *rest, '{"torn": ']))
    assert run([{"96": "64"}.get(word, word) for word in words]) == 2
    assert "holds scores made otherwise (max_reasoning_tokens: 96 there, 64 now)" in capsys.readouterr().err
    assert run(words) == 0
    assert f"{len(rest) + 1}/8" in capsys.readouterr().err, "the bar begins at what was kept"
    assert mark in {record.trace for record in read_records(out)}
    assert not kept.parent.exists()


def test_a_model_that_is_not_there_is_one_sentence(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.jsonl"
    words = [WORDS[0], "--data", str(records_file), "--sample", "4", "--out", str(out)]
    assert run([*words, "--model", str(tmp_path / "nothing")]) == 2
    assert "limrank-serve exited with" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "file").write_text("")
    assert run([*words[:-1], str(tmp_path / "file" / "own.jsonl"), "--model", "limrank-mini"]) == 2
    assert "cannot be written" in capsys.readouterr().err
