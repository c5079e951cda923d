"""The sidecar of a training file: written by one module, read by the same."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from contract.about import About, AboutError, beside, state_cost, stated_cost, write_about
from contract.records import Group


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


def test_what_a_file_holds_is_counted_and_written_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(b"rows")
    about = About("lce", cost=1.5)
    row = {"source": "beir", "licence": "MIT AND CC-BY-4.0", "domain": "general"}
    about.count(row)
    about.count(Group(id="g", query="q", positive="p", negatives=("n",), **{**row, "licence": "MIT"}))
    about.left_out["no trace"] += 1
    write_about(about, file, {"format": "lce"})
    stated = json.loads(beside(file).read_text())
    assert stated == {
        "format": "lce",
        "rows": 2,
        "relevant": 0,
        "licences": {"MIT": 2, "CC-BY-4.0": 1},
        "sources": {"beir": 2},
        "domains": {"general": 2},
        "left_out": {"no trace": 1},
        "cost": 1.5,
        "sha256": sha256(b"rows").hexdigest(),
        "settings": {"format": "lce"},
    }
    assert about.sentence() == "2 lce rows; licences: CC-BY-4.0 (1), MIT (2)."
    assert stated_cost(file) == 1.5
    state_cost(file, 2.5)
    assert json.loads(beside(file).read_text()) == {"cost": 2.5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.about.json"]
