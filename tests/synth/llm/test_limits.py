"""What a run does when money or disk runs out, or a signal comes."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from synth.errors import BudgetSpent, DiskFull
from synth.pipeline import run
from synth.run.folder import read_totals
from synth.run.journal import JournalRow, Status, read_journal, row_to_line
from tests.synth.endpoint import Fault, ScriptedEndpoint
from tests.synth.runs import (
    ROOT,
    asks_for_passage,
    command,
    endpoint_knobs,
    limrank_knobs,
    limrank_settings,
    start,
    toml_of,
)
from tests.waiting import PATIENCE, wait_until

PER_SEED = 13
PRICES = {"price_prompt": 1000.0, "price_completion": 2000.0}
ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
disk, arguments = Path(sys.argv[1]), sys.argv[2:]
disk.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(disk)], check=True)
filler = disk / "filler"
filler.write_bytes(b"x" * (3 << 20))
for _ in range(2):
    done = subprocess.run(arguments, capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stderr, (disk / "run" / "journal.jsonl").read_text()]))
    filler.unlink(missing_ok=True)
"""


def rows(folder: Path) -> list[JournalRow]:
    return list(read_journal(folder / "run" / "journal.jsonl"))


def test_the_budget_is_never_exceeded_and_the_run_can_go_on(tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=0.01) as endpoint:
        knobs = endpoint_knobs(endpoint.url, max_tokens=60, **PRICES)

        def settings(budget: float | None) -> Any:
            return limrank_settings(tmp_path, endpoint.url, generator=knobs, judge=knobs, budget=budget)

        with pytest.raises(BudgetSpent, match=r"The budget of 20 does not allow another call \(1\d\.\d+ spent"):
            run(settings(20.0), StringIO())
        spent, asked = read_totals(tmp_path / "run").cost, endpoint.counts.requests
        assert 18 < spent <= 20
        with pytest.raises(BudgetSpent):
            run(settings(20.0), StringIO())
        assert endpoint.counts.requests == asked
        run(settings(None), StringIO())
        assert endpoint.counts.requests == 12 * PER_SEED
    total = read_totals(tmp_path / "run")
    expected = sum(
        line.prompt_tokens * PRICES["price_prompt"] + line.completion_tokens * PRICES["price_completion"]
        for line in total.lines()
    )
    assert total.cost == pytest.approx(expected / 1e6)


def test_a_budget_without_prices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a budget needs prices of both endpoints"):
        limrank_settings(tmp_path, "http://127.0.0.1:9/v1", budget=1.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_calls_in_flight_finish(tmp_path: Path, number: signal.Signals) -> None:
    with ScriptedEndpoint(keep=False, free=19) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url)
        process = start("run", knobs["run"], "--settings", toml_of(knobs, tmp_path / "settings.toml"))
        wait_until(lambda: endpoint.counts.requests >= 20, every=0.01)
        process.send_signal(number)
        endpoint.release()
        _, complained = process.communicate(timeout=PATIENCE)
        asked = endpoint.counts.requests
    assert process.returncode == 130
    assert complained == "limrank-synth run: Stopped; calls in flight were finished. Run again to go on.\n"
    assert len(rows(tmp_path)) == asked < 12 * PER_SEED


def test_a_full_disk_is_a_sentence_and_what_was_in_flight_is_kept(tmp_path: Path) -> None:
    """In a file system of 20 MiB of our own, of which the run itself holds 16 back; then again with room."""
    big = Fault(content=json.dumps({"reasoning": "r", "passage": "thing " * 20_000}))
    with ScriptedEndpoint(keep=False, script=lambda _, body: big if asks_for_passage(body) else None) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, seeds=6)
        disk, file = tmp_path / "disk", toml_of(knobs, tmp_path / "settings.toml")
        ours = command("run", disk / "run", "--settings", file)
        inside = [sys.executable, "-c", ON_A_SMALL_DISK, str(disk), *ours]
        done = subprocess.run(["unshare", "-rm", *inside], cwd=ROOT, capture_output=True, text=True, check=False)
        if "unshare: " in done.stderr or "mount: " in done.stderr:
            pytest.skip("this system lets nobody mount a file system; the next test has a limit on the file's size")
        asked = endpoint.counts.requests
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first[0] == 1
    assert "No space left" in first[1]
    assert len(first[1].splitlines()) == 1
    assert second[0] == 0, second[1]
    assert second[2].startswith(first[2])
    assert len(second[2].splitlines()) - 1 == asked == 6 * PER_SEED


def test_a_file_that_may_not_grow_loses_no_row_and_is_not_torn(tmp_path: Path) -> None:
    """Where even the space held back does not help, the row is not in the journal, and no part of it is."""
    with ScriptedEndpoint() as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url)
        settings.run.mkdir(parents=True)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (17 << 20, hard))
        try:
            (settings.run / "journal.jsonl").write_bytes(b'{"format": "limrank.journal", "version": 1, "id": "x"}\n')
            with (settings.run / "journal.jsonl").open("ab") as file:
                file.write(_long_row((17 << 20) - 5000))
            with pytest.raises(DiskFull, match=r"No space left for .*journal\.jsonl; free some and run again"):
                run(settings, StringIO())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
        kept = len(rows(tmp_path))
        assert 1 < kept < endpoint.counts.requests + 1
        assert run(settings, StringIO()) > 0


def _long_row(size: int) -> bytes:
    row = JournalRow(
        stage="old",
        key="00" * 16,
        attempt=1,
        input_id="old",
        model="old",
        reply="x" * size,
        reasoning="",
        prompt_tokens=0,
        completion_tokens=0,
        cost=0.0,
        status=Status.REJECTED,
        reason="old",
        at=0.0,
        seconds=0.0,
    )
    return row_to_line(row)
