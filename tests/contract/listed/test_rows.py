"""Rows of several passages are read strictly, and as the synthesizer writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.files import write_json_lines
from contract.listed.model import ListModel, ListModelError, read_list_model
from contract.listed.rows import ListKind, list_format, read_list_rows
from contract.rows import RecordError
from synth.export.formats import Shape, listwise_of_group, setwise_rows
from tests.trainer.examples import groups

ROW: dict[str, Any] = {
    "id": "a",
    "query": "what rots",
    "instruction": None,
    "passages": ["Oak rots.", "Iron rusts.", "Salt melts."],
    "source": "test",
    "licence": "CC0-1.0",
    "domain": "materials",
}
LISTWISE = {**ROW, "grades": [0.5, 1.0, 0.0], "ranking": [1, 0, 2]}


def write(path: Path, kind: ListKind, *rows: dict[str, Any]) -> Path:
    write_json_lines(path, {"format": list_format(kind), "version": 1}, rows)
    return path


@pytest.mark.parametrize("kind", ListKind)
def test_exported_rows_are_read(kind: ListKind, tmp_path: Path) -> None:
    export = setwise_rows if kind is ListKind.SETWISE else listwise_of_group
    made = list(groups(3))
    exported = [row for group in made for row in export(group, Shape())]
    rows = list(read_list_rows(write(tmp_path / "rows.jsonl", kind, *exported), kind))
    assert [row.passages[row.ranking[0]] for row in rows] == [group.positive for group in made]
    assert all(sorted(row.grades) == [0.0, 0.0, 0.0, 0.0, 1.0] for row in rows)


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        (ListKind.SETWISE, {"best": 3}, "'best' is 3; it must be the index of a passage."),
        (ListKind.SETWISE, {"best": True}, "'best' is True"),
        (ListKind.SETWISE, {"best": 0, "passages": ["one"]}, "at least two passages"),
        (ListKind.SETWISE, {"best": 0, "passages": "text"}, "'passages' is str; it must be a list of texts."),
        (ListKind.SETWISE, {"best": 0, "passages": ["one", " "]}, "'passages[1]' is blank"),
        (ListKind.SETWISE, {}, "has no 'best'"),
        (ListKind.LISTWISE, {"grades": [1.0, 0.0]}, "one finite number for each passage"),
        (ListKind.LISTWISE, {"grades": [1.0, 1.0, 1.0]}, "all passages have the same grade"),
        (ListKind.LISTWISE, {"ranking": [0, 1, 2]}, "is not the order of the grades, [1, 0, 2]"),
        (ListKind.LISTWISE, {"best": 0}, "'best' is not a field"),
    ],
)
def test_a_broken_row_is_named(kind: ListKind, change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    row = (LISTWISE if kind is ListKind.LISTWISE else ROW) | change
    path = write(tmp_path / "rows.jsonl", kind, row)
    with pytest.raises(RecordError) as error:
        list(read_list_rows(path, kind))
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{path}, line 2: ")


def test_a_model_states_itself(tmp_path: Path) -> None:
    stated = ListModel(
        kind=ListKind.LISTWISE,
        window=8,
        tokens=512,
        base="b",
        tokenizer_sha256="t",
        data_sha256="d",
        licences=("MIT",),
        recipe="r",
    )
    stated.write(tmp_path)
    assert read_list_model(tmp_path) == stated
    path = tmp_path / "list.json"
    written = json.loads(path.read_text())
    for broken in ({"version": 2}, {"kind": "pairwise"}, {"window": 1}, {"more": 1}):
        path.write_text(json.dumps(written | broken))
        with pytest.raises(ListModelError, match=str(path)):
            read_list_model(tmp_path)
    path.unlink()
    with pytest.raises(ListModelError, match="cannot be read"):
        read_list_model(tmp_path)
