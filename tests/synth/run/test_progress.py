"""Progress: plain lines in a file, one line written over on a terminal, and a time that is left."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from io import StringIO
from pathlib import Path

import pytest

from synth.run.progress import Counts, Progress, duration
from tests.synth.endpoint import ScriptedEndpoint
from tests.synth.runs import ROOT, command, limrank_knobs, start, toml_of
from tests.waiting import PATIENCE

LINE = r"seed queries: \d+ of 40 \(\d+ %\), \d+ calls, \d+ examples accepted, cost \d+\.\d{4}, about \d+ s left"


def test_lines_are_plain_where_no_terminal_is(tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=0.05) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, seeds=40)
        file = toml_of(knobs, tmp_path / "settings.toml")
        process = start("run", knobs["run"], "--settings", file, "--report-seconds", "0.2")
        said, _ = process.communicate(timeout=PATIENCE)
    lines = [line for line in said.splitlines() if line.startswith("seed queries")]
    assert "\r" not in said
    assert len(lines) > 3
    assert [line for line in lines if re.fullmatch(LINE, line)]
    assert re.fullmatch(r"seed queries: 40 of 40 \(100 %\), 520 calls, .* done", lines[-1])


def test_a_terminal_has_one_line_that_is_written_over(tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=0.05) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, seeds=40)
        ours, theirs = pty.openpty()
        arguments = command("run", knobs["run"], "--settings", toml_of(knobs, tmp_path / "settings.toml"))
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=theirs)
        os.close(theirs)
        said = b""
        try:
            while block := os.read(ours, 4096):
                said += block
        except OSError:
            pass  # the terminal is closed when the last writer is gone
        assert process.wait(PATIENCE) == 0
    shown = said.decode().split("\n")[0].split("\r")
    assert len([line for line in shown if line.startswith("seed queries")]) > 3
    assert len({len(line) for line in shown if line}) == 1


def test_a_slow_model_is_seen_at_work_before_any_unit_is_done(tmp_path: Path) -> None:
    """All 12 units are begun at once and ask 13 questions each, so that none is done for long."""
    with ScriptedEndpoint(latency=0.25) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url)
        file = toml_of(knobs, tmp_path / "settings.toml")
        process = start("run", knobs["run"], "--settings", file, "--report-seconds", "0.05")
        said, _ = process.communicate(timeout=PATIENCE)
    early = [line for line in said.splitlines() if line.startswith("seed queries: 0 of 12 (")]
    assert len(early) >= 3
    shares = [int(re.search(r"\((\d+) %\)", line)[1]) for line in early]  # type: ignore[index]
    assert shares == sorted(shares)
    assert shares[-1] >= 30
    assert re.search(r"about \d+ s left$", early[-1])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("synth.run.progress.time.monotonic", lambda: now[0])
    return now


def test_what_the_journal_answers_does_not_make_the_rest_look_quick(clock: list[float]) -> None:
    out = StringIO()
    progress = Progress(out, 1.0)
    progress.begin("units", 1000, 1000, Counts())
    for number in range(900):
        progress.step(Counts(settled=number + 1))
    clock[0] = 2.0
    progress.step(Counts(calls=1, settled=901))
    assert out.getvalue().endswith("901 of 1000 (90 %), 1 calls, 0 examples accepted, cost 0.0000, time left unknown\n")
    for number in range(9):
        clock[0] += 10.0
        progress.step(Counts(calls=2 + number, settled=902 + number))
    assert out.getvalue().splitlines()[-1].endswith("about 15 min 0 s left")


def test_the_share_follows_questions_and_at_the_end_units(clock: list[float]) -> None:
    out = StringIO()
    progress = Progress(out, 1.0)
    progress.begin("units", 10, 100, Counts(calls=50, settled=50))
    for settled, share in ((60, "10 %"), (90, "40 %")):
        clock[0] += 10.0
        progress.show(Counts(calls=settled, settled=settled))
        assert f"0 of 10 ({share})" in out.getvalue().splitlines()[-1]
    assert out.getvalue().splitlines()[-1].endswith("about 20 s left")  # 30 % in 10 s
    for _ in range(9):  # most of what they could have asked was never asked
        progress.step(Counts(calls=100, settled=100))
    clock[0] += 10.0
    progress.show(Counts(calls=100, settled=100))
    assert "9 of 10 (90 %)" in out.getvalue().splitlines()[-1]
    progress.step(Counts(calls=101, settled=101))
    progress.end(Counts(calls=101, settled=101))
    assert out.getvalue().endswith("10 of 10 (100 %), 101 calls, 0 examples accepted, cost 0.0000, done\n")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (18600, "5 h 10 min")]
)
def test_durations_are_said_shortly(seconds: float, said: str) -> None:
    assert duration(seconds) == said
