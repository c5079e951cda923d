"""Files of scored groups: what is written is read, and what is broken is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import RecordError
from contract.scored_groups import ScoredGroup, is_scored_file, read_scored_groups, write_scored_groups

text = st.text(st.sampled_from('ab \n"\\é中'), min_size=1, max_size=8).filter(str.strip)


@st.composite
def scored_groups(draw: st.DrawFn) -> ScoredGroup:
    passages = draw(st.lists(text, min_size=2, max_size=5))
    positive = draw(st.none() | st.integers(0, len(passages) - 1))
    if positive is not None:
        passages[positive] = f"yes {passages[positive]}"  # no negative reads the same
    taught = positive is None or draw(st.booleans())
    teacher = [draw(st.floats(-1, 1)) for _ in passages] if taught else []
    return ScoredGroup(
        id=draw(text),
        query=draw(text),
        instruction=draw(st.none() | text),
        passages=tuple(passages),
        positive=positive,
        teacher=tuple(teacher),
        source="test",
        licence="CC0-1.0",
        domain="test",
    )


@given(groups=st.lists(scored_groups(), max_size=4))
def test_what_is_written_is_read(groups: list[ScoredGroup], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("scored") / "groups.jsonl"
    assert write_scored_groups(path, groups) == len(groups)
    assert is_scored_file(path)
    assert list(read_scored_groups(path)) == groups


def row(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {"id": "a", "query": "q", "passages": ["p", "r"], "positive": 1, "teacher": [0.1, 0.2]}
    return whole | {"source": "s", "licence": "MIT", "domain": "d"} | changes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"positive": 2}, "the index of a passage"),
        ({"positive": True}, "the index of a passage"),
        ({"positive": None, "teacher": []}, "neither 'positive' nor 'teacher'"),
        ({"teacher": [0.1]}, "one number for each passage"),
        ({"teacher": [0.1, "x"]}, "finite numbers"),
        ({"passages": ["p"]}, "at least two passages"),
        ({"passages": ["p", " "]}, "passages\\[1\\]"),
        ({"query": ""}, "'query' is blank"),
        ({"more": 1}, "'more' is not a field"),
    ],
)
def test_a_broken_group_is_named_with_its_line(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    path = tmp_path / "groups.jsonl"
    header = json.dumps({"format": "limrank.scored-groups", "version": 1})
    path.write_text("\n".join([header, json.dumps(row()), json.dumps(row(**changes))]) + "\n")
    with pytest.raises(RecordError, match=f"line 3: .*{sentence}"):
        list(read_scored_groups(path))


def test_another_file_is_no_scored_file(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text('{"format": "limrank.groups", "version": 1}\n')
    assert not is_scored_file(path)
    with pytest.raises(RecordError, match=r"is not the header of this kind of file; it should be .*scored-groups"):
        list(read_scored_groups(path))


def test_a_failed_write_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text("before")

    def broken() -> Iterator[ScoredGroup]:
        yield ScoredGroup(id="a", query="q", passages=("p", "r"), positive=0, source="s", licence="MIT", domain="d")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_scored_groups(path, broken())
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["groups.jsonl"]
