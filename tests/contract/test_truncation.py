"""Only the passage is cut, it is cut enough, no more than needed, and the cut is reported."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.segments import Segments
from contract.truncation import PassageFitter
from tests.contract.texts import hostile_text


@pytest.fixture(scope="session")
def fitter(segments: Segments) -> PassageFitter:
    return PassageFitter(segments.prompt)


@given(passage=hostile_text(), room=st.integers(4, 60), most=st.none() | st.integers(1, 40), left=st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_fitted_passage_fits_and_says_whether_it_was_cut(
    segments: Segments, fitter: PassageFitter, passage: str, room: int, most: int | None, left: bool
) -> None:
    room = max(room, fitter.tail_tokens)
    [fitted] = fitter.fit([passage], room, most, cut_left=left)
    [whole] = segments.prompt.rests([passage])
    alone = len(segments.prompt.passage_offsets(passage))
    assert len(fitted.ids) <= room
    assert fitted.truncated == (fitted.ids != whole)
    assert fitted.truncated == (len(whole) > room or (most is not None and alone > most and passage != ""))
    assert fitted.ids[-3:] == whole[-3:]


def test_a_cut_keeps_the_beginning_or_the_end(segments: Segments, fitter: PassageFitter) -> None:
    words = [f"word{n}" for n in range(50)]
    decode = segments.tokenizer.decode
    [start] = fitter.fit([" ".join(words)], 40)
    [end] = fitter.fit([" ".join(words)], 40, cut_left=True)
    assert decode(start.ids).startswith(" word0 word1")
    assert decode(end.ids).endswith("word48 word49\n<think>")
    assert 37 <= len(start.ids) <= 40
    assert 37 <= len(end.ids) <= 40


def test_a_cut_passage_is_encoded_as_the_reference_would_encode_the_shorter_text(
    segments: Segments, fitter: PassageFitter
) -> None:
    [fitted] = fitter.fit(["One. Two? Three! Four." * 20], 30)
    text = segments.tokenizer.decode(fitted.ids)
    assert segments.tokenizer.encode(text, add_special_tokens=False).ids == fitted.ids


def test_ten_megabytes_are_not_encoded_whole(fitter: PassageFitter) -> None:
    """The result is that of the beginning alone: what lies far beyond the limit is dropped before it is encoded."""
    beginning = "plain words here " * 30_000
    [long] = fitter.fit([beginning + "tail " * 2_000_000], 200)
    [short] = fitter.fit([beginning], 200)
    assert long == short
    assert long.truncated


def test_no_room_for_the_prompts_end_is_an_error(fitter: PassageFitter) -> None:
    with pytest.raises(ValueError, match="room for 2 tokens"):
        fitter.fit(["x"], 2)
