"""Progress: plain lines in a file, one line written over on a terminal, and a time that is left."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from io import StringIO
from pathlib import Path

import pytest

from synth.progress import Progress, duration
from tests.synth.endpoint import ScriptedEndpoint
from tests.synth.runs import ROOT, command, limrank_knobs, start, toml_of

LINE = r"seed queries: \d+ of 40 \(\d+ %\), \d+ calls, \d+ examples accepted, cost \d+\.\d{4}, about \d+ s left"


def test_lines_are_plain_where_no_terminal_is(tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=0.05) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url, seeds=40)
        file = toml_of(knobs, tmp_path / "settings.toml")
        said, _ = start("run", knobs["run"], "--settings", file, "--report-seconds", "0.2").communicate(timeout=60)
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
        assert process.wait(30) == 0
    shown = said.decode().split("\n")[0].split("\r")
    assert len([line for line in shown if line.startswith("seed queries")]) > 3
    assert len({len(line) for line in shown if line}) == 1


def test_units_from_the_journal_do_not_make_the_rest_look_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("synth.progress.time.monotonic", lambda: now[0])
    out = StringIO()
    progress = Progress(out, 1.0)
    progress.begin("units", 1000)
    for _ in range(900):
        progress.step(0, 0.0, 0)
    now[0] = 2.0
    progress.step(1, 0.0, 0)
    assert out.getvalue().endswith("901 of 1000 (90 %), 1 calls, 0 examples accepted, cost 0.0000, time left unknown\n")
    for _ in range(9):
        now[0] += 10.0
        progress.step(1, 0.0, 0)
    assert out.getvalue().splitlines()[-1].endswith("about 13 min 30 s left")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (18600, "5 h 10 min")]
)
def test_durations_are_said_shortly(seconds: float, said: str) -> None:
    assert duration(seconds) == said
