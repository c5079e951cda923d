"""Segments are encoded alone and joined in one place, so trainer and service agree at every seam."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.prompt import LIMRANK, ContractError
from contract.segments import Segments
from tests.contract.texts import hostile_text, plain_text
from tests.tokenizers import qwen_tokenizer

TRACES = ["", "It is relevant.", "Is it?", "It is.\n", "\n", "\nIt is.\n\n", " The passage answers it", "é", "日本語"]


def test_the_seams_qwen_would_fuse() -> None:
    """Written as one string the empty trace is `...766 1472 26865 29`; by segments it is what the design says."""
    qwen = Segments(LIMRANK, qwen_tokenizer())
    assert qwen.close == (522, 26865, 29)
    assert (qwen.verdict.true, qwen.verdict.false) == (830, 895)
    whole = qwen.tokenizer.encode(LIMRANK.text("q", "p") + LIMRANK.close, add_special_tokens=False).ids
    assert whole[-4:] == [766, 1472, 26865, 29]
    assert qwen.context(qwen.prompt_ids("q", "p"))[-5:] == [766, 29, 522, 26865, 29]
    fused = qwen.tokenizer.encode("relevant.</think>", add_special_tokens=False).ids
    assert list(qwen.close) != fused[-3:]


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("relevant", [True, False])
def test_the_trainers_ids_are_the_services_ids(segments: Segments, trace: str, relevant: bool) -> None:
    """Through the verdict: what is trained on is what a service joins from a prompt, generated ids and a close."""
    prompt = segments.prompt_ids("what is it?", "It is a passage.\n")
    generated = segments.trace_ids(trace)
    example = segments.example(prompt, generated, relevant)
    word = segments.verdict.true if relevant else segments.verdict.false
    assert list(example.ids) == [*segments.context(prompt, generated), word]
    assert list(example.ids) == [*segments.context_after(prompt, [*generated, *segments.close]), word]
    assert example.prompt_tokens == len(prompt)


@given(query=hostile_text(), passage=hostile_text(), trace=plain_text())
@settings(max_examples=150, deadline=None)
def test_a_canonical_close_is_found_again(segments: Segments, query: str, passage: str, trace: str) -> None:
    if "<think>" in trace or "</think>" in trace:
        return
    written = [*segments.trace_ids(trace), *segments.close]
    found = segments.find_close(written)
    assert found is not None
    assert list(found.ids) == written
    assert found.text == segments.trace_text(segments.trace_ids(trace))
    assert found.tokens == len(segments.trace_ids(trace))
    prompt = segments.prompt_ids(query, passage)
    assert segments.context_after(prompt, written) == segments.context(prompt, segments.trace_ids(trace))


def test_a_close_the_model_fused_is_kept_with_its_own_ids() -> None:
    qwen = Segments(LIMRANK, qwen_tokenizer())
    written = qwen.tokenizer.encode("It is relevant.</think>", add_special_tokens=False).ids
    assert written[-3:] != list(qwen.close)
    found = qwen.find_close(written)
    assert found is not None
    assert found.text == "It is relevant."
    assert qwen.context_after([1, 2], written) == [1, 2, *written]


def test_what_follows_the_close_is_dropped(segments: Segments) -> None:
    after = segments.tokenizer.encode(" true and more", add_special_tokens=False).ids
    written = [*segments.trace_ids("So it is."), *segments.close, *after]
    found = segments.find_close(written)
    assert found is not None
    assert list(found.ids) == written[: -len(after)]
    assert segments.context_after([7], written) == [7, *found.ids]


@given(st.lists(st.integers(0, 40000), max_size=40))
@settings(max_examples=200, deadline=None)
def test_closes_agrees_with_find_close(segments: Segments, ids: list[int]) -> None:
    written = [*ids, *segments.close]
    ends = [n for n in range(1, len(written) + 1) if segments.closes(written[:n])]
    found = segments.find_close(written)
    assert found is not None
    assert len(found.ids) == ends[0]


def test_an_open_trace_gets_our_close(segments: Segments) -> None:
    assert segments.context_after([5], [6]) == [5, 6, *segments.close]
    assert segments.find_close([6]) is None


@pytest.mark.parametrize("delimiter", ["<think>", "</think>", "<|im_end|>", "<|endoftext|>"])
def test_a_trace_with_a_delimiter_is_refused(segments: Segments, delimiter: str) -> None:
    with pytest.raises(ContractError, match="must not contain"):
        segments.trace_ids(f"so {delimiter} true")


def test_half_a_character_is_left_out_of_a_traces_text(segments: Segments) -> None:
    ids = segments.trace_ids("ok 🎉")
    assert segments.trace_text(ids) == "ok 🎉"
    assert "\N{REPLACEMENT CHARACTER}" not in segments.trace_text(ids[:-1])
