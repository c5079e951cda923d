"""Rows of JSON files, whatever their shape and wherever they break."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import BadInput
from retrieval import json_rows
from retrieval.json_rows import read_rows

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
spaces = st.text(alphabet=" \t\r\n", max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), max_size=6),
    space=spaces,
    chunk=st.integers(1, 9),
)
def test_an_array_gives_its_rows_however_it_is_read(rows: list[Any], space: str, chunk: int) -> None:
    text = f"{space}[{space}{f'{space},{space}'.join(json.dumps(row) for row in rows)}{space}]{space}"
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(json_rows, "CHUNK", chunk)
        file = Path(folder) / "rows.json"
        file.write_text(text, encoding="utf-8", newline="")
        assert [row.value for row in read_rows(file)] == rows


def test_bad_lines_are_rows_with_a_sentence_and_do_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n[1]\n"\xff"\n{"a": "cut\n{"a": 2}')
    rows = list(read_rows(path))
    assert [row.number for row in rows] == [1, 3, 4, 5, 6, 7]
    assert [row.value for row in rows] == [{"a": 1}, None, None, None, None, {"a": 2}]
    assert "not one JSON object" in rows[1].problem
    assert rows[4].problem == "not one JSON object (Unterminated string starting at column 7)."
    assert rows[1].raw == '{"a": '
    assert "a JSON list" in rows[2].problem
    assert "not UTF-8 at byte 1" in rows[3].problem


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_a_row_with_a_sentence(
    end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "LONGEST_LINE", 20)
    monkeypatch.setattr(json_rows, "CHUNK", 7)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "' + b"x" * 50 + b'"}\n{"a": 2}\n' + b"{" * 30 + end)
    rows = list(read_rows(path))
    assert [(row.number, row.value) for row in rows] == [(1, {"a": 1}), (2, None), (3, {"a": 2}), (4, None)]
    assert rows[1].problem == rows[3].problem == "longer than 64 MiB; is it a file of one JSON object a line?"


@pytest.mark.parametrize(
    ("text", "row", "what"),
    [
        ('[{"a": 1}, {"a": ', 2, "Expecting value"),
        ('[{"a": 1} {"a": 2}]', 2, "',' was expected"),
        ('[{"a": 1}', 2, "it ends"),
        ('[{"a": 1}] tail', 2, "stands after the array"),
        ("[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_a_broken_array_is_one_sentence_with_the_row(tmp_path: Path, text: str, row: int, what: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=rf"rows\.json, row {row}: .*JSON Lines") as caught:
        list(read_rows(path))
    assert what in str(caught.value)


def test_an_array_of_other_things_names_the_element(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1}, 17, 2.5]', encoding="utf-8")
    rows = list(read_rows(path))
    assert [row.problem for row in rows] == [
        "",
        "a JSON int; a row must be an object.",
        "a JSON float; a row must be an object.",
    ]


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        list(read_rows(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"_id": "a", "text": "Gout \\ud83d is"}', "'text' holds half of a character pair at position 5; mend it."),
        ('{"title": "\\udc00", "text": "x"}', "'title' holds half of a character pair at position 0; mend it."),
        ('{"metadata": {"focus": ["a", "\\uDBFF"]}}', "'focus' holds half of a character pair at position 0; mend it."),
        ('{"a\\ud800": 1}', "'a name' holds half of a character pair at position 1; mend it."),
        ('{"text": "\\ud83d\\ude00 and \\\\ud83d"}', ""),  # a whole pair, and six letters that look like a half
    ],
)
def test_half_of_a_character_pair_is_a_named_row(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f'{row}\n{{"b": 1}}\n', encoding="utf-8")
    (tmp_path / "rows.json").write_text(f'[{row}, {{"b": 1}}]', encoding="utf-8")
    for name in ("rows.jsonl", "rows.json"):
        first, second = read_rows(tmp_path / name)
        assert (first.problem, first.value is None) == (said, bool(said))
        assert second.value == {"b": 1}
