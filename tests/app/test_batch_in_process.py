"""`limrank batch` with the model in this process, and on a real Ray cluster: the answers are those of the service."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api.app import create_app
from service.engines.loading import build_engine
from service.models.store import resolve
from service.settings import Settings
from tests.app.batches import batch, call_lines, read, start, write_calls
from tests.requirements_check import require
from tests.service.serving import serving

MODEL = "limrank-mini-ce"
# As many blocks as two workers hold at a time. Lines are so wide that bytes end a block, not 256 calls.
BLOCKS, CALLS_IN_A_BLOCK = 8, 64
WIDTH = (1 << 20) // CALLS_IN_A_BLOCK


def test_in_process_and_over_http_the_lines_are_equal(tmp_path: Path) -> None:
    source = write_calls(tmp_path / "in.jsonl", [*call_lines(30), {"custom_id": "bad", "url": "/rerank", "body": {}}])
    assert batch(source, tmp_path / "here.jsonl", "--model", MODEL) == 1
    settings = Settings(model=MODEL)
    checkpoint = resolve(MODEL)
    with serving(create_app(settings, build_engine(settings, checkpoint), checkpoint).app) as url:
        assert batch(source, tmp_path / "there.jsonl", "--url", url) == 1
    for ending in ("jsonl.errors", "jsonl.run.json"):
        here, there = (tmp_path / f"{place}.{ending}" for place in ("here", "there"))
        assert sorted(here.read_bytes().splitlines()) == sorted(there.read_bytes().splitlines())
    _equal(read(tmp_path / "here.jsonl"), read(tmp_path / "there.jsonl"))


@pytest.mark.timeout(900)
def test_on_ray_with_one_of_two_workers_killed_it_is_complete_and_equal(tmp_path: Path) -> None:
    require("ray", present=importlib.util.find_spec("ray") is not None, remedy="`make ray` installs it")
    count = BLOCKS * CALLS_IN_A_BLOCK
    source = write_calls(tmp_path / "in.jsonl", call_lines(count, documents=1), width=WIDTH)
    out, plain = tmp_path / "out.jsonl", tmp_path / "plain.jsonl"
    flags = ("--model", MODEL, "--ray", "local", "--ray-workers", 2)
    process = start(source, out, *flags, RAY_worker_niceness="0")  # 15 otherwise: beside others they hardly move
    workers: list[int] = []
    while process.poll() is None and len(workers) != 2:
        time.sleep(0.05)
        workers = list(_workers(process.pid)) if out.exists() and b"\n" in out.read_bytes() else []
    assert process.poll() is None, process.communicate()
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    said, told = process.communicate(timeout=800)
    assert process.returncode == 0, told
    assert f"{count:,} calls answered" in said
    assert batch(source, plain, "--model", MODEL) == 0
    found = read(out)
    assert len(found) == count
    _equal(found, read(plain))


def _equal(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    """Line by line. Batches of the engine differ, and with them the last bits of a score."""
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert _scores(found[name]) == pytest.approx(_scores(row), abs=1e-5)
        assert found[name] | {"response": None} == row | {"response": None}


def _scores(row: dict[str, Any]) -> dict[int, float]:
    """What an answer in any shape says of each document."""
    assert row["error"] is None
    body = row["response"]["body"]
    results = body if isinstance(body, list) else body.get("results") or body["rankings"]
    return {result["index"]: next(value for key, value in result.items() if key != "index") for result in results}


def _workers(parent: int) -> Iterator[int]:
    """The actors that hold a model, among the processes that descend from `parent`."""
    for pid in _descendants(parent):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::") and b"Answers" in name:
            yield pid


def _descendants(parent: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    waiting = [parent]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            yield child
            waiting.append(child)
