"""What ends reasoning, and how what a model wrote is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.reasoning import PieceReader, Reader, Status, end_ids, folder_end_ids, loops
from contract.segments import Segments


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([7] * 49, True),
        ([7] * 48, False),
        ([1, 2, 3, *[4, 5, 6] * 17], True),
        ([4, 5, 6] * 16, False),
        (list(range(64)) * 4, True),
        (list(range(64)) * 3, False),
        (list(range(65)) * 8, False),
        ([4, 5, 6] * 20 + [7], False),
        ([], False),
    ],
)
def test_a_loop_is_a_piece_that_comes_back_long_enough(written: list[int], expected: bool) -> None:
    assert loops(written) is expected


def ids_of(segments: Segments, text: str) -> list[int]:
    ids: list[int] = segments.tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def special(segments: Segments) -> int:
    return min(i for i, token in segments.tokenizer.get_added_tokens_decoder().items() if token.special)


def test_the_tokens_that_end_a_text_are_named_by_files_or_given(segments: Segments, tmp_path: Path) -> None:
    specials = end_ids(segments)
    assert special(segments) in specials
    assert not specials & set(segments.close)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 777}))
    assert folder_end_ids(tmp_path, segments) == specials | {777}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [778, 779]}))
    assert folder_end_ids(tmp_path, segments) == specials | {777, 778, 779}
    assert end_ids(segments, {"eos_token_id": 777}, {"eos_token_id": None}, {}) == specials | {777}


def test_every_way_in_which_reasoning_ends_is_told_when_it_does_and_read_alike(segments: Segments) -> None:
    end = special(segments)
    reader = Reader(segments, {end})
    text = ids_of(segments, "It names the cure.")
    cases = [
        (ids_of(segments, "It names the cure.</think>"), 50, Status.COMPLETE, "It names the cure."),
        ([*text, end], 50, Status.END_OF_TEXT, "It names the cure."),
        (text, len(text), Status.BUDGET, "It names the cure."),
        ([text[1]] * 49, 60, Status.REPETITION, None),
    ]
    for written, budget, status, expected in cases:
        statuses = [reader.ended(written[:n], budget) for n in range(1, len(written) + 1)]
        assert statuses == [None] * (len(written) - 1) + [status]
        read = reader.read(written, status)
        assert read.status is status
        assert expected is None or read.text == expected
        assert read.ids[: len(read.written)] == read.written
        assert read.ids[len(read.written) :] == (() if status is Status.COMPLETE else segments.close)


def test_reasoning_ended_from_outside_says_why_unless_the_model_had_ended_it(segments: Segments) -> None:
    reader = Reader(segments, {special(segments)})
    text = ids_of(segments, "Unsure")
    assert reader.read(text, Status.DEADLINE).status is Status.DEADLINE
    assert reader.read([*text, special(segments)], Status.DEADLINE).status is Status.END_OF_TEXT
    assert reader.read([*text, *segments.close, *text], Status.DEADLINE).status is Status.COMPLETE
    nothing = reader.read([], Status.DEADLINE)
    assert (nothing.ids, nothing.text, nothing.tokens) == (segments.close, "", 0)


@pytest.mark.parametrize("text", ["It is.</think> true", "Föhn 🙂光 </thin k> <", "a < b </", ""])
def test_pieces_are_the_text_cut_where_nothing_changes_any_more(segments: Segments, text: str) -> None:
    written, reader = ids_of(segments, text), Reader(segments, ())
    pieces = PieceReader(segments)
    said: list[str] = []
    for n in range(1, len(written) + 1):
        said.append(pieces.next(written[:n]))
        assert "<" not in said[-1][-1:], "it may be the beginning of the tag"
    said.append(pieces.last(reader.read(written).text))
    assert "".join(said) == reader.read(written).text
