"""Memory stays flat while a long journal is resumed and exported. `make synth-scale` runs this with a million rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.synth.scale import Measured, grow, measure

ROWS = int(os.environ.get("LIMRANK_TEST_ROWS", "15000"))
MOST_MEBIBYTES = 500
# What a longer journal may cost more than a short one: caches, which are bounded. Kept rows would take more than the
# 840 bytes each that this allows: a line of the journal alone has 1,100.
FLAT_MEBIBYTES = min(60, ROWS / 1250)


@pytest.mark.timeout(900 + ROWS // 100)
def test_resume_and_export_take_no_more_memory_for_a_longer_journal(tmp_path: Path) -> None:
    run_of, settings_of = {}, {}
    for name, rows in (("short", 1000), ("long", ROWS)):
        run_of[name], settings_of[name] = grow(tmp_path / name, rows)
    acts: dict[str, Callable[[str], Measured]] = {
        "resume": lambda name: measure("run", run_of[name], "--settings", settings_of[name]),
        "status": lambda name: measure("status", run_of[name]),
        "export": lambda name: measure("export", tmp_path / f"{name}.jsonl", "--mix", run_of[name]),
    }
    for act, command in acts.items():
        taken = {}
        for name in ("short", "long"):
            if act == "resume":
                (run_of[name] / "journal.sqlite").unlink()  # so that it is built again too
            taken[name] = command(name)
            assert taken[name].code == 0
        print(f"{act}: {taken['long'].mebibytes} MiB, {taken['long'].seconds:.1f} s for {ROWS} rows")
        assert taken["long"].mebibytes < MOST_MEBIBYTES
        assert taken["long"].mebibytes - taken["short"].mebibytes < FLAT_MEBIBYTES
    with (tmp_path / "long.jsonl").open() as file:
        exported = sum(1 for line in file if json.loads(line))
    assert exported >= ROWS // 13 * 6
