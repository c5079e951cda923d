"""Lines of log and legs that a full disk or a kill cut short: as if never written, and no later one suffers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from tests.full_disk import room_for
from tests.trainer.running import sft_flags, train, weights
from trainer.errors import BadRunFolder
from trainer.run.folder import RunFolder
from trainer.run.report import plot_loss

LINES = some.lists(some.dictionaries(some.text(max_size=5), some.text(max_size=9) | some.integers()), min_size=1)


@given(before=LINES, after=LINES, data=some.data())
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_takes_more(
    before: list[dict[str, Any]], after: list[dict[str, Any]], data: some.DataObject
) -> None:
    with TemporaryDirectory() as place:
        folder = RunFolder(Path(place))
        for line in before:
            folder.append(folder.log, line)
        whole = folder.log.read_bytes()
        cut = whole[: data.draw(some.integers(0, len(whole)))]
        folder.log.write_bytes(cut)
        kept = before[: cut.count(b"\n")]
        assert folder.lines(folder.log) == kept
        for line in after:
            folder.append(folder.log, line)
        assert folder.lines(folder.log) == kept + after
        assert folder.log.read_bytes().count(b"\n") == len(kept + after)


def test_a_line_for_which_there_is_no_room_leaves_no_part_of_itself(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append(folder.sessions, {"leg": 1, "ended": "time"})
    before = folder.sessions.read_bytes()
    with (
        room_for(len(before) + 20),
        pytest.raises(BadRunFolder, match=r"legs.jsonl cannot be written: File too large; make room or name another\."),
    ):
        folder.append(folder.sessions, {"leg": 2, "ended": "finished"})
    assert folder.sessions.read_bytes() == before


def test_the_plot_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    """Also a line that was written behind a torn one, before that was cut off."""
    folder = RunFolder(tmp_path)
    folder.log.write_bytes(b'{"step": 1, "lo')
    plot_loss(folder)
    assert not (tmp_path / "loss.png").exists()
    folder.log.write_bytes(
        b'{"step": 1, "loss": 2.0}\n{"step": 2, "lo{"step": 3, "loss": 1.0}\n{"step": 4, "loss": \xc3'
    )
    plot_loss(folder)
    assert (tmp_path / "loss.png").exists()


def test_a_run_whose_last_leg_was_not_recorded_whole_ends_it_again(
    tiny_llama: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes on from its last checkpoint, to the same weights; its log and its plot are whole."""
    folder = tmp_path / "run"
    flags = sft_flags(tiny_llama, records_file, folder)
    train([*flags, "--leg-minutes", "0.00001"])
    train(flags)
    expected, log = weights(folder / "adapter"), RunFolder(folder).lines(folder / "log.jsonl")
    for name in ("legs.jsonl", "log.jsonl"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    (folder / "loss.png").unlink()
    shutil.rmtree(folder / "adapter")
    capsys.readouterr()
    train([*flags, "--leg", "2"])
    assert "Leg 2 ended (finished) at step 6 of 6." in capsys.readouterr().out
    assert [json.loads(line)["leg"] for line in (folder / "legs.jsonl").read_text().splitlines()] == [1, 2]
    assert {line["step"] for line in RunFolder(folder).lines(folder / "log.jsonl")} == {line["step"] for line in log}
    assert (folder / "loss.png").exists()
    found = weights(folder / "adapter")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
