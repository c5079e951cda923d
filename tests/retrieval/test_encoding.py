"""Files in other encodings: refused as a whole, or row by row; never a traceback and never rows lost in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.errors import BadInput
from retrieval.beir import read_documents, read_queries
from retrieval.id_files import read_ids
from retrieval.json_rows import read_rows
from retrieval.rejects import Listed, Refusing
from retrieval.trec import read_judgements, read_run

ROW = '{"_id": "d1", "title": "Caf\u00e9", "text": "Gout hurts."}\n'
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "rows": (ROW, lambda path: list(read_rows(path))),
    "an array": (f"[{ROW}]", lambda path: list(read_rows(path))),
    "documents": (ROW, lambda path: list(read_documents(path, Listed()))),
    "queries": (ROW, lambda path: list(read_queries(path, Listed()))),
    "judgements": ("q\td\t1\n", lambda path: list(read_judgements(path, Listed()))),
    "a run": ("q Q0 d 1 2.0 t\n", read_run),
    "ids": ("d1\nd2\n", read_ids),
}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_in_utf_16_or_32_is_refused_as_a_whole(tmp_path: Path, reader: str, encoding: str) -> None:
    text, read = READERS[reader]
    (tmp_path / "file").write_text(text, encoding=encoding)
    with pytest.raises(BadInput, match=r"file is in UTF-.*; convert it to UTF-8"):
        read(tmp_path / "file")


@pytest.mark.parametrize("reader", READERS)
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, reader: str) -> None:
    text, read = READERS[reader]
    (tmp_path / "plain").write_text(text, encoding="utf-8")
    (tmp_path / "marked").write_text(text, encoding="utf-8-sig")
    plain, marked = read(tmp_path / "plain"), read(tmp_path / "marked")
    assert str(plain).replace("plain", "marked") == str(marked)
    assert plain


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman"])
def test_a_row_in_another_eight_bits_is_named_and_the_rest_goes_on(tmp_path: Path, encoding: str) -> None:
    path, rejects = tmp_path / "corpus.jsonl", Listed()
    path.write_bytes(ROW.encode(encoding) + b'{"_id": "d2", "text": "Plain."}\n')
    assert [document.id for document in read_documents(path, rejects)] == ["d2"]
    assert rejects.sentences == [f"{path}, row 1: not UTF-8 at byte 27 of the line."]
    with pytest.raises(BadInput, match="row 1: not UTF-8"):
        list(read_documents(path, Refusing()))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"_id": ' + "1" * 5000 + ', "text": "t"}', "not readable as JSON"),
        ('{"_id": "a\\nb", "text": "t"}', "holds a tab or a line break"),
        ('{"_id": true, "text": "t"}', "'_id' is True"),
        ('{"_id": 1.5, "text": "t"}', "'_id' is 1.5"),
        ('{"_id": "a", "text": ["t"]}', "'text' is list"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_rest_goes_on(tmp_path: Path, row: str, said: str) -> None:
    path, rejects = tmp_path / "corpus.jsonl", Listed()
    path.write_text(f'{row}\n{{"_id": "2024-01-02", "text": "NA"}}\n', encoding="utf-8")
    (document,) = read_documents(path, rejects)
    assert (document.id, document.text) == ("2024-01-02", "NA")
    assert rejects.count == 1
    assert rejects.sentences[0].startswith(f"{path}, row 1: ")
    assert said in rejects.sentences[0]


def test_ids_keep_every_other_character(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    ids = ["2024-01-02", "007", "NA", "null", "1e5", "a b", "a\u00a0b", "a\u2028b", "a\u0085b", "\u0e01", "true"]
    path.write_text("".join(f'{{"_id": "{name}", "text": "t"}}\n' for name in ids), encoding="utf-8", newline="\n")
    assert [document.id for document in read_documents(path, Refusing())] == ids
