"""`limrank batch` over real HTTP: every shape, failures, resuming, kills, and what is refused before work begins."""

from __future__ import annotations

import json
import random
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from httpx2 import AsyncClient

from app.batch.command import target_of
from app.batch.results import _about
from app.batch.settings import Batch
from app.connection import Connection, _service_settings
from tests.app.batches import batch, call_lines, read, start, write_calls
from tests.app.conftest import Service

_DEEP = b"[" * 300 + b"]" * 300  # which orjson reads and does not write
KILLS = 10
CONCURRENCY = 4


def _call(url: bytes = b'"/v1/rerank"', body: bytes = b"{}") -> bytes:
    return b'{"custom_id": "a", "url": ' + url + b', "body": ' + body + b"}\n"


def test_answers_are_those_of_the_service_in_every_shape(service: Service, tmp_path: Path) -> None:
    rows = call_lines(9)
    out = tmp_path / "out.jsonl"
    assert batch(write_calls(tmp_path / "in.jsonl", rows), out, "--url", service.url) == 0
    answers = read(out)
    for row in rows:
        asked = httpx.post(service.url + row["url"], json=row["body"]).json()
        answer = answers[row["custom_id"]]
        assert answer["error"] is None
        assert answer["response"]["status_code"] == 200
        if isinstance(asked, dict) and "id" in asked:
            asked["id"] = answer["id"]  # which is new in every answer of the service
        assert answer["response"]["body"] == asked
    assert not (tmp_path / "out.jsonl.lock").exists()


def test_calls_of_one_query_follow_one_another(service: Service, tmp_path: Path) -> None:
    rows = write_calls(tmp_path / "in.jsonl", call_lines(30, documents=1))
    assert batch(rows, tmp_path / "out.jsonl", "--url", service.url, "--concurrency", 1) == 0
    queries = [job.query for job in service.engine.jobs]
    assert len(set(queries)) == 5
    assert sum(before != after for before, after in pairwise(queries)) == 4


def test_a_failure_is_told_with_its_reason_and_no_other_call_is_lost(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.engine.fail_always.add("spoilt")
    rows = call_lines(6)
    rows[1]["body"] = {"query": "x"}
    rows[2]["url"] = "/v1/nothing"
    rows[3]["body"] = {"query": "x", "documents": ["fine", "spoilt"]}
    out, errors = tmp_path / "out.jsonl", tmp_path / "out.jsonl.errors"
    source = write_calls(tmp_path / "in.jsonl", rows)
    assert batch(source, out, "--url", service.url) == 1
    assert "3 calls failed" in capsys.readouterr().err
    failures = read(errors)
    assert {name: row["response"]["status_code"] for name, row in failures.items()} == {
        "call-1": 400,
        "call-2": 404,
        "call-3": 500,
    }
    assert "documents is missing" in failures["call-1"]["error"]["message"]
    assert sorted(read(out)) == ["call-0", "call-4", "call-5"]

    # What may pass is tried again, what cannot is not.
    service.engine.fail_always.clear()
    service.engine.jobs.clear()
    assert batch(source, out, "--url", service.url) == 1
    assert sorted(read(errors)) == ["call-1", "call-2"]
    assert sorted(read(out)) == ["call-0", "call-3", "call-4", "call-5"]
    assert service.documents == 2


@pytest.mark.timeout(600)
def test_killed_ten_times_it_ends_with_the_same_lines_and_scores_only_what_was_in_flight_twice(
    service: Service, tmp_path: Path
) -> None:
    count, documents = 240, 2
    source = write_calls(tmp_path / "in.jsonl", call_lines(count, documents))
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    arguments = (source, out, "--url", service.url, "--concurrency", CONCURRENCY)
    points = sorted(random.SystemRandom().sample(range(1, count - 2 * CONCURRENCY), KILLS))
    for point in points:
        process = start(*arguments)
        while process.poll() is None and _lines(out) < point:
            time.sleep(0.001)
        process.kill()
        process.communicate()
    time.sleep(0.2)  # until the service has noticed
    torn = out.read_bytes()
    out.write_bytes(torn + b'{"custom_id":"call-')
    process = start(*arguments)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    lost = service.documents - count * documents
    assert 0 <= lost <= KILLS * CONCURRENCY * documents, points
    assert batch(source, whole, "--url", service.url) == 0
    assert sorted(out.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())


def test_a_limit_ends_after_so_many_calls_and_the_next_run_goes_on(service: Service, tmp_path: Path) -> None:
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(7)), tmp_path / "out.jsonl"
    for done in (3, 6, 7, 7):
        assert batch(source, out, "--url", service.url, "--limit", 3) == 0
        assert len(read(out)) == done
    assert service.documents == 21


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda rows: rows.append(rows[0]), "custom_id 'call-0' stands in calls 1 and 4"),
        (lambda rows: rows[1].pop("custom_id"), "line 2: 'custom_id' must be a text"),
        (lambda rows: rows[1].update(url="http://elsewhere/v1/rerank"), "it must be a path such as /v1/rerank"),
        (lambda rows: rows[1].update(url="//elsewhere/v1/rerank"), "it must be a path such as /v1/rerank"),
        (lambda rows: rows[1].update(method="GET"), "'method' is 'GET'; only POST"),
        (lambda rows: rows[2].update(body=[1]), "line 3: 'body' must be an object"),
        (lambda rows: rows.clear(), "holds no calls"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_sentence_before_work_begins(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: object, told: str
) -> None:
    rows = call_lines(3)
    assert callable(spoil)
    spoil(rows)
    assert batch(write_calls(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", "--url", service.url) == 2
    complained = capsys.readouterr().err
    assert told in complained
    assert len(complained.splitlines()) == 1
    assert service.documents == 0
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"custom_id": "a", \n', "line 1: is no JSON object"),
        ("caf\u00e9\n".encode("latin-1"), "line 1: is no JSON object in UTF-8"),
        (b"[1]\n", "line 1: must be an object"),
        (b"", "holds no calls"),
        (_call(url=b'"/r HTTP/1.1\\r\\nX: y"'), "line 1: 'url' is"),
        (_call(url=b'"/\\\\elsewhere/x"'), "line 1: 'url' is"),
        (_call(url=b'"/' + b"x" * 5000 + b'"'), "line 1: 'url' is"),
        (_call(body=b'{"query": ' + _DEEP + b"}"), "line 1: 'body' is nested too deeply"),
        (_call(body=b'{"query": "x", "instruction": ' + _DEEP + b"}"), "line 1: 'body' is nested too deeply"),
        (
            _call(body=b'{"query": "x", "documents": [{"text": "x", "y": ' + _DEEP + b"}]}"),
            "'body' is nested too deeply",
        ),
    ],
)
def test_a_file_that_is_none_of_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    assert batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9") == 2
    assert told in capsys.readouterr().err


def test_other_refusals(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(3)), tmp_path / "out.jsonl"
    for words, told in (
        ((tmp_path / "none.jsonl", out, "--url", service.url), "none.jsonl cannot be read"),
        ((tmp_path, out, "--url", service.url), "is a folder"),
        ((source, source, "--url", service.url), "the same file"),
        ((source, out, "--url", service.url, "--model", "x"), "contradict each other"),
        ((source, out, "--url", service.url, "--mode", "adaptive"), "write `mode` into the bodies"),
        ((source, out, "--url", service.url, "--reasoning-budget", 5), "write `reasoning_budget` into the bodies"),
        ((source, out, "--url", "http://127.0.0.1:9"), "http://127.0.0.1:9 cannot be reached"),
        ((source, out, "--url", service.url + "/docs"), "so it is no limrank-serve"),
        ((source, tmp_path / "in.jsonl" / "out", "--url", service.url), "cannot be written"),
        ((source, out, "--model", "no-such-model"), "neither an embedded model"),
    ):
        assert batch(*words) in (1, 2), words
        complained = capsys.readouterr().err
        assert told in complained, complained


def test_out_goes_on_with_its_own_lines_and_its_own_model_only(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = call_lines(3)
    assert batch(write_calls(source, rows), out, "--url", service.url, "--limit", 2) == 0
    before = out.read_bytes()

    about = tmp_path / "out.jsonl.run.json"
    stated = about.read_text(encoding="utf-8")
    about.write_text(json.dumps({"model": {"name": "another"}}), encoding="utf-8")
    assert batch(source, out, "--url", service.url) == 2
    assert "was begun with 'another'" in capsys.readouterr().err
    about.write_text(stated, encoding="utf-8")

    rows[0]["body"]["query"] = "something else"
    assert batch(write_calls(source, rows), out, "--url", service.url) == 2
    assert "was made from another line" in capsys.readouterr().err
    assert batch(write_calls(source, rows[1:]), out, "--url", service.url) == 2
    assert "is not among the calls" in capsys.readouterr().err
    assert out.read_bytes() == before
    # A file may grow.
    assert batch(write_calls(source, call_lines(5)), out, "--url", service.url) == 0
    assert len(read(out)) == 5


def test_mode_and_budget_are_those_of_the_model_loaded_here(tmp_path: Path) -> None:
    """And a run with another budget does not go on where this one stopped: its scores are others."""
    chosen = Batch(source=tmp_path / "in", out=tmp_path / "out", mode="adaptive", reasoning_budget=5)
    settings = _service_settings(target_of(chosen).flags, {})
    assert (settings.mode, settings.default_reasoning_budget) == ("adaptive", 5)
    infos = [
        {"model": {"name": "m"}, "default_mode": mode, "limits": {"default_reasoning_budget": budget}}
        for mode, budget in (("adaptive", 5), ("adaptive", 6), ("direct", 5), ("direct", 6))
    ]
    stated = [_about(Connection(AsyncClient(), info).model) for info in infos]
    assert stated[0]["model"]["reasoning_budget"] == 5
    assert stated[0] != stated[1]
    assert stated[2] == stated[3]
    assert list(stated[2]["model"]) == ["name", "revision", "fingerprint", "temperature", "default_mode"]


def test_two_runs_do_not_write_one_file(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service.engine.stuck = True
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(3)), tmp_path / "out.jsonl"
    first = start(source, out, "--url", service.url)
    while not service.engine.jobs:
        assert first.poll() is None
        time.sleep(0.01)
    assert batch(source, out, "--url", service.url) == 2
    assert "is being written by another run" in capsys.readouterr().err
    first.terminate()
    _, told = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "Stopped by a signal; the same command goes on" in told


def test_memory_does_not_grow_with_the_file(service: Service, tmp_path: Path) -> None:
    """Thirty times the calls, 60 MB more of them, in less than a third of that more memory."""
    filler = " word" * 4000
    peaks = []
    for count in (100, 3100):
        source = write_calls(tmp_path / f"{count}.jsonl", call_lines(count, documents=1, filler=filler))
        peaks.append(_peak(start(source, tmp_path / f"{count}.out", "--url", service.url)))
    assert peaks[1] - peaks[0] < 20 * 1024  # KiB


def _peak(process: subprocess.Popen[str]) -> int:
    """The most memory it ever held, in KiB, looked at until it ends. (What `wait4` tells counts the parent's, too.)"""
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.02)
    process.communicate()
    assert process.returncode == 0
    return peak


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
