"""Records and groups go to a file and back unchanged, and a broken file is named by its line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import (
    Difficulty,
    Group,
    Intent,
    NegativeType,
    Record,
    RecordError,
    Votes,
    group_from_json,
    join_licences,
    licence_parts,
    read_groups,
    read_records,
    record_from_json,
    to_json,
    write_groups,
    write_records,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
VOTES = st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any).map(lambda pair: Votes(true=pair[0], false=pair[1]))


@st.composite
def records(draw: st.DrawFn) -> Record:
    relevant = draw(st.booleans())
    return Record(
        id=draw(TEXT),
        query=draw(TEXT),
        passage=draw(TEXT),
        instruction=draw(st.none() | TEXT),
        relevant=relevant,
        trace=draw(st.none() | TEXT),
        source=draw(TEXT),
        licence=draw(TEXT),
        domain=draw(TEXT),
        difficulty=draw(st.sampled_from(Difficulty)),
        negative_type=None if relevant else draw(st.none() | st.sampled_from(NegativeType)),
        intent=draw(st.sampled_from(Intent)),
        votes=draw(st.none() | VOTES),
    )


GROUPS = st.builds(
    Group,
    id=TEXT,
    query=TEXT,
    instruction=st.none() | TEXT,
    positive=TEXT.map("yes {}".format),
    negatives=st.lists(TEXT.map("no {}".format), min_size=1, max_size=4).map(tuple),
    source=TEXT,
    licence=TEXT,
    domain=TEXT,
)

RECORD = Record(
    id="r1",
    query="how long does paint dry",
    passage="Two hours, at 20 degrees.",
    relevant=True,
    source="ours",
    licence="Apache-2.0",
    domain="home",
    difficulty=Difficulty.DIRECT,
    intent=Intent.DIRECT,
)
GROUP = Group(
    id="g1",
    query="how long does paint dry",
    positive="Two hours.",
    negatives=("Paint is sold in tins.",),
    source="ours",
    licence="Apache-2.0",
    domain="home",
)


@given(st.lists(records(), max_size=5))
def test_records_survive_a_file(items: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "records.jsonl")
        assert write_records(path, items) == len(items)
        assert list(read_records(path)) == items


@given(st.lists(GROUPS, max_size=5))
def test_groups_survive_a_file(items: list[Group]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "groups.jsonl")
        assert write_groups(path, items) == len(items)
        assert list(read_groups(path)) == items


@given(records())
def test_equal_records_are_equal_bytes(record: Record) -> None:
    line = to_json(record)
    assert "\n" not in line
    assert to_json(record_from_json(line)) == line


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])
    assert path.read_text().splitlines()[0] == '{"format": "limrank.records", "version": 1}'
    with pytest.raises(RecordError, match=r"records\.jsonl, line 1: .*limrank\.groups"):
        list(read_groups(path))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "is not the header"),
        ("[]", "is not the header"),
        ('{"format": "limrank.records"}', "version None is not one"),
        ('{"format": "limrank.records", "version": 2}', "version 2 is not one"),
    ],
)
def test_a_file_without_our_header_is_refused(tmp_path: Path, header: str, said: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(header + "\n")
    with pytest.raises(RecordError, match=said):
        list(read_records(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 1}, "'colour' is not a field of Record; its fields are id, query"),
        ({"query": " \t"}, "'query' is blank"),
        ({"query": None}, "'query' is NoneType; it must be a text"),
        ({"passage": "\ud800"}, "'passage' holds half of a character pair at position 0"),
        ({"instruction": ""}, "'instruction' is blank"),
        ({"relevant": 1}, "'relevant' is 1; it must be true or false"),
        ({"difficulty": "hard"}, "'difficulty' is 'hard'; it must be one of direct, multi_step, instruction"),
        ({"difficulty": None}, "'difficulty' is None; it must be one of"),
        ({"intent": []}, r"'intent' is \[\]; it must be one of direct, indirect"),
        ({"negative_type": "partial"}, "'negative_type' is 'partial' on a relevant passage"),
        ({"relevant": False, "negative_type": "odd"}, "'negative_type' is 'odd'; it must be one of"),
        ({"votes": {"true": 0, "false": 0}}, "'votes' counts no vote"),
        ({"votes": {"true": True, "false": 0}}, "'votes.true' is True; it must be a whole number"),
        ({"votes": {"true": 1, "false": -1}}, "'votes.false' is -1"),
        ({"votes": {"true": 1}}, "'votes' has no 'false'"),
        ({"votes": [1, 2]}, "'votes' is list; it must be an object"),
    ],
)
def test_a_bad_record_is_named_by_its_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])
    with path.open("a") as file:
        file.write(json.dumps(json.loads(to_json(RECORD)) | change) + "\n")
    stream = read_records(path)
    assert next(stream) == RECORD
    with pytest.raises(RecordError, match=rf"records\.jsonl, line 3: {said}"):
        next(stream)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "not one JSON object"),
        ('{"id": "r1", "que', "not one JSON object"),
        ("[1]", "the line is list"),
        ("[" * 200_000, "nested too deeply"),
        ('{"id": "a", "id": "b"}', "the key 'id' stands twice"),
        ('{"id": "a"}', "the line has no 'query', which Record needs"),
    ],
)
def test_a_line_that_is_no_record_is_refused(line: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        record_from_json(line)


def test_a_negative_type_of_older_files_is_still_read() -> None:
    """`right_focus_wrong_type` was written for negatives on the right subject that answer another question."""
    line = to_json(replace(RECORD, relevant=False, negative_type=NegativeType.SAME_TOPIC_OTHER_INTENT))
    former = line.replace('"same_topic_other_intent"', '"right_focus_wrong_type"')
    assert former != line
    assert to_json(record_from_json(former)) == line


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])
    with path.open("ab") as file:
        file.write(b'{"id": "\xff"}\n')
    with pytest.raises(RecordError, match=r"line 3: not UTF-8 at byte 8"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"negatives": []}, "at least one passage"),
        ({"negatives": "text"}, "at least one passage"),
        ({"negatives": ["text", ""]}, r"'negatives\[1\]' is blank"),
        ({"positive": 3}, "'positive' is int"),
        ({"votes": None}, "'votes' is not a field of Group"),
    ],
)
def test_a_bad_group_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordError, match=said):
        group_from_json(json.dumps(json.loads(to_json(GROUP)) | change))


def test_an_error_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, [RECORD])

    def failing() -> Iterator[Record]:
        yield replace(RECORD, id="r2")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_records(path, failing())
    assert list(read_records(path)) == [RECORD]
    assert list(tmp_path.iterdir()) == [path]


def test_licences_are_joined_once_each_in_one_order() -> None:
    assert join_licences(["MIT", "CC-BY-4.0 AND MIT"]) == "CC-BY-4.0 AND MIT"
    assert licence_parts("CC-BY-4.0 AND MIT AND MIT") == ("CC-BY-4.0", "MIT")


@given(item=records())
def test_agreement_is_the_share_of_the_votes_for_the_label(item: Record) -> None:
    other = replace(item, relevant=not item.relevant, negative_type=None)
    if item.votes is None:
        assert item.agreement == other.agreement == 1.0
        assert item.accepted
        return
    assert item.agreement + other.agreement == pytest.approx(1.0)
    assert not (item.accepted and other.accepted)
    if item.votes.true != item.votes.false:
        assert item.accepted is ((item.votes.true > item.votes.false) is item.relevant)
    else:
        assert not item.accepted, "a tie is no majority"
