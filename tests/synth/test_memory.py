"""Memory stays flat: ten times the rows, hardly more of it. `bench.programs.synth_memory` measures a million rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.programs.synth_memory import run

FEW, MANY = 1_000, 12_000  # 1 MB and 13 MB of records; as objects in memory the latter would be 30 MB


@pytest.mark.parametrize("command", ["export pointwise, half drawn", "audit"])
def test_ten_times_the_rows_take_hardly_more_memory(tmp_path: Path, command: str) -> None:
    peaks = {}
    for rows in (FEW, MANY):
        ((_, measured),) = run(tmp_path, rows, [command])
        peaks[rows] = measured.peak
    assert peaks[MANY] < 250, peaks
    assert peaks[MANY] - peaks[FEW] < 12, peaks
