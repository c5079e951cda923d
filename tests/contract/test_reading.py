"""Texts compared by what is read, and groups that would contradict themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.reading import ids_by_reading, read_same, reading_key
from contract.records import Group, RecordError, read_groups, read_records, write_groups
from contract.scored_groups import ScoredGroup, is_scored_file, read_scored_groups

SAME = {
    "case": ("Gout hurts", "gout HURTS"),
    "white space": ("gout  hurts\n", " gout hurts"),
    "a blank that does not break": ("gout\u00a0hurts", "gout hurts"),
    "a full-width blank": ("\u75db\u98a8\u3000\u75db\u3044", "\u75db\u98a8 \u75db\u3044"),
    "combining marks": ("caf\u00e9", "cafe\u0301"),
    "marks of Thai": ("\u0e19\u0e49\u0e33", "\u0e19\u0e49\u0e33 "),
    "a zero-width blank": ("go\u200but", "gout"),
    "a soft hyphen": ("hy\u00adphen", "hyphen"),
    "a byte order mark": ("\ufeffgout", "gout"),
    "a sharp s": ("Stra\u00dfe", "STRASSE"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_texts_that_read_the_same_have_one_key(pair: tuple[str, str]) -> None:
    assert read_same(*pair)
    with pytest.raises(RecordError, match="negative 1 has the same text as the positive"):
        group(pair[0], "bread rises", pair[1])


@pytest.mark.parametrize("pair", [("gout", "gouts"), ("re-sign", "resign"), ("a b", "ab"), ("1.5", "15"), ("?", "!")])
def test_texts_that_read_differently_have_two(pair: tuple[str, str]) -> None:
    assert not read_same(*pair)
    assert group(pair[0], pair[1]).negatives == (pair[1],)


@given(st.text())
def test_a_key_is_its_own_key(text: str) -> None:
    assert reading_key(reading_key(text)) == reading_key(text)


def test_ids_are_found_by_the_keys_that_are_asked_for() -> None:
    texts = {"a": "Gout", "b": "gout ", "c": "bread"}
    assert ids_by_reading(texts, ["gout", "tea"]) == {"gout": ["a", "b"], "tea": []}


def group(positive: str, *negatives: str) -> Group:
    return Group(
        id="g", query="q", positive=positive, negatives=negatives, source="own", licence="CC0-1.0", domain="general"
    )


def scored(*passages: str, positive: int | None, teacher: tuple[float, ...] = ()) -> ScoredGroup:
    more = {"source": "own", "licence": "CC0-1.0", "domain": "general"}
    return ScoredGroup(id="g", query="q", passages=passages, positive=positive, teacher=teacher, **more)


def test_a_scored_group_whose_answer_stands_twice_is_refused() -> None:
    with pytest.raises(RecordError, match="has the same text as the positive"):
        scored("gout", "bread", "Gout ", positive=0)
    with pytest.raises(RecordError, match="has the same text as the positive"):
        scored("gout ", "bread", "GOUT", positive=2)
    assert scored("gout", "gout", positive=None, teacher=(0.5, 0.5)).positive is None
    assert scored("gout", "bread", "bread", positive=0).positive == 0


def test_a_file_with_such_a_group_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    write_groups(path, [group("gout", "bread"), group("tea", "bread")])
    path.write_text(path.read_text(encoding="utf-8").replace('["bread"]}', '["bread"]}').replace('"tea"', '"BREAD"'))
    with pytest.raises(RecordError, match=r"groups\.jsonl, line 3: negative 0 has the same text as the positive"):
        list(read_groups(path))


HEADER = '{"format": "limrank.scored-groups", "version": 1}\n'
ROW = '"query": "q", "passages": ["a", "b"], "positive": 0, "source": "s", "licence": "l", "domain": "d"}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "\\ud83d", ' + ROW, "'id' holds half of a character pair"),
        ('{"id": "g", "id": "h", ' + ROW, "the key 'id' stands twice"),
        ('{"id": "g", "teacher": ' + "[" * 100_000, "nested too deeply"),
        ('{"id": "g", "teacher": [' + "9" * 5000 + "], " + ROW, "not readable as JSON"),
    ],
)
def test_a_scored_group_that_cannot_be_read_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "scored.jsonl"
    path.write_text(HEADER + line + "\n")
    with pytest.raises(RecordError, match=f"line 2: .*{said}"):
        list(read_scored_groups(path))


def test_training_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "scored.jsonl"
    path.write_text(HEADER + '{"id": "g", ' + ROW + "\n", encoding="utf-8-sig")
    assert is_scored_file(path)
    assert [found.id for found in read_scored_groups(path)] == ["g"]
    (tmp_path / "records.jsonl").write_text('{"format": "limrank.records", "version": 1}\n', encoding="utf-8-sig")
    assert list(read_records(tmp_path / "records.jsonl")) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_training_files_in_another_encoding_are_a_sentence(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text('{"format": "limrank.records", "version": 1}\n', encoding=encoding)
    assert not is_scored_file(path)
    for read in (read_records, read_groups, read_scored_groups):
        with pytest.raises(RecordError, match=r"file\.jsonl, line 1: .* is not the header"):
            list(read(path))
