"""What stands beside a training file."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.about import AboutError, beside, stated_cost


def test_a_cost_is_read_where_one_is_stated(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert stated_cost(file) == 0, "nothing stands beside it"
    beside(file).write_text('{"cost": 0.25, "rows": 3}')
    assert beside(file).name == "out.jsonl.about.json"
    assert stated_cost(file) == 0.25


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"cost": null}', '{"cost": "much"}', "\x00"])
def test_a_cost_that_cannot_be_read_is_no_zero(text: str, tmp_path: Path) -> None:
    beside(tmp_path / "out.jsonl").write_text(text)
    with pytest.raises(AboutError, match=r"does not say what out\.jsonl cost"):
        stated_cost(tmp_path / "out.jsonl")


def test_bytes_that_are_no_text_and_a_folder_are_a_sentence_too(tmp_path: Path) -> None:
    beside(tmp_path / "out.jsonl").write_bytes(b"\xff\xfe")
    beside(tmp_path / "other.jsonl").mkdir()
    for name in ("out.jsonl", "other.jsonl"):
        with pytest.raises(AboutError, match="does not say what"):
            stated_cost(tmp_path / name)
