"""The journal gives back what was written, survives a cut at any byte, and refuses what is no journal."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import BadInput, JournalBroken
from synth.run.folder import RunFolder, read_totals
from synth.run.journal import JournalRow, Status, read_journal, row_from_line, row_to_line

ANY_TEXT = st.text(st.characters(), max_size=40)  # halves of character pairs too: endpoints send them


def row(number: int, reply: str = "{}", status: Status = Status.ACCEPTED, key: int | None = None) -> JournalRow:
    return JournalRow(
        stage="stage",
        key=f"{number if key is None else key:032x}",
        attempt=1,
        input_id=f"input {number}",
        model="model",
        reply=reply,
        reasoning="",
        prompt_tokens=10,
        completion_tokens=2,
        cost=0.5,
        status=status,
        reason="",
        at=1.0,
        seconds=0.25,
    )


@given(ANY_TEXT, ANY_TEXT, st.sampled_from(Status))
def test_a_row_comes_back_from_its_line(reply: str, reason: str, status: Status) -> None:
    written = JournalRow(
        **{name: getattr(row(1), name) for name in JournalRow.__slots__} | {"reply": reply, "reason": reason}
    )
    line = row_to_line(written)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert row_from_line(line) == written


def test_rows_are_found_by_key_the_latest_first(tmp_path: Path) -> None:
    with RunFolder(tmp_path, writing=True) as folder:
        for number in range(5000):  # more than one batch of the index
            folder.append(row(number, f'"{number}"'))
        folder.append(row(7, '"again"'))
        assert folder.find(row(7).key) == row(7, '"again"')
        assert folder.find(row(4999).key) == row(4999, '"4999"')
        assert folder.find(row(5000).key) is None
    with RunFolder(tmp_path, writing=False) as folder:
        assert folder.find(row(7).key) == row(7, '"again"')
        assert folder.find(row(0).key) == row(0, '"0"')
    assert sum(1 for _ in read_journal(tmp_path / "journal.jsonl")) == 5001


def test_totals_are_kept_by_stage_model_and_status(tmp_path: Path) -> None:
    with RunFolder(tmp_path, writing=True) as folder:
        for number in range(3):
            folder.append(row(number))
        folder.append(row(3, status=Status.RETRY))
        inside = read_totals(tmp_path)  # while the run works, before the index is written
    for totals in (inside, read_totals(tmp_path)):
        accepted, again = totals.lines()
        assert (accepted.status, accepted.rows, accepted.prompt_tokens, accepted.seconds) == ("accepted", 3, 30, 0.75)
        assert (again.status, again.rows, again.completion_tokens) == ("retry", 1, 2)
        assert totals.cost == 2.0
    (tmp_path / "journal.sqlite").unlink()
    assert read_totals(tmp_path).cost == 2.0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_journal_cut_at_any_byte_keeps_every_whole_row(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "journal.jsonl")
        with RunFolder(Path(name), writing=True) as folder:
            for number in range(4):
                folder.append(row(number, "\u2028 a line that is one \U0001f600"))
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = max(0, whole[:cut].count(b"\n") - 1)
        if cut:
            assert kept == 0 or sum(1 for _ in read_journal(path)) == kept
        with RunFolder(Path(name), writing=True) as folder:
            assert [folder.find(row(number).key) is not None for number in range(4)] == [n < kept for n in range(4)]
            folder.append(row(9))
        assert [found.input_id for found in read_journal(path)][:-1] == [f"input {n}" for n in range(kept)]
        assert next(reversed(list(read_journal(path)))) == row(9)


def test_the_index_of_another_journal_is_not_believed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with RunFolder(tmp_path / name, writing=True) as folder:
            folder.append(row(1 if name == "one" else 2))
    (tmp_path / "one" / "journal.sqlite").rename(tmp_path / "two" / "journal.sqlite")
    with RunFolder(tmp_path / "two", writing=False) as folder:
        assert folder.find(row(1).key) is None
        assert folder.find(row(2).key) == row(2)


def test_a_line_in_the_middle_that_is_no_row_is_named(tmp_path: Path) -> None:
    with RunFolder(tmp_path, writing=True) as folder:
        folder.append(row(1))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"stage": 1}\n' + row_to_line(row(2)))
    with pytest.raises(JournalBroken, match=r"journal\.jsonl, line 3: not a journal row"):
        list(read_journal(path))
    with (
        pytest.raises(JournalBroken, match=r"journal\.jsonl, at byte \d+: not a journal row"),
        RunFolder(tmp_path, writing=True),
    ):
        pass


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("my own notes, without a newline at the end")
    with pytest.raises(JournalBroken, match=r"'my own notes, .*' is not the header"), RunFolder(tmp_path, writing=True):
        pass
    assert path.read_text() == "my own notes, without a newline at the end"


def test_a_folder_without_a_journal_is_no_run_to_read(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match=r"holds no journal\.jsonl: it is no run folder"),
        RunFolder(tmp_path, writing=False),
    ):
        pass
    with pytest.raises(BadInput, match="it is no run folder"):
        read_totals(tmp_path / "nowhere")
