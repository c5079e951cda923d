"""Texts that stress a tokenizer: real-looking words, every script, control strings, half-written ones."""

from __future__ import annotations

from hypothesis import strategies as st

CONTROL_STRINGS = ("<think>", "</think>", "</think> true", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tool_call>")

_pieces = st.one_of(
    st.sampled_from(
        [" ", "  ", "\n", "\n\n", "\t", ".", "?", ".\n", "?\n", ":", " :", "<", ">", "</", "<th", "|>", "<|"]
    ),
    st.sampled_from(["word", " word", "Passage:", "\nPassage: x", "Query:", "true", " false", "2024", "3.14", "don't"]),
    st.sampled_from(
        [
            "日本語",
            "é",
            "e\u0301",
            "\u0301",
            "\u0338",
            "ß",
            "🎉",
            "👩‍👩‍👧",
            "שלום",
            "\u200b",
            "\x00",
            "\ufffd",
            "\u212a",
        ]
    ),
    st.text(max_size=8),
)
_controls = st.sampled_from(
    [*CONTROL_STRINGS, "<<think>think>", "<|im_<|im_end|>end|>", "</think>\u0338", "<\u0338think>"]
)


def plain_text() -> st.SearchStrategy[str]:
    """Text without a control string (a test still has to check: pieces may make one up)."""
    return st.lists(_pieces, max_size=12).map("".join)


def hostile_text() -> st.SearchStrategy[str]:
    """Text with control strings among ordinary pieces."""
    return st.lists(st.one_of(_pieces, _controls), max_size=10).map("".join)
