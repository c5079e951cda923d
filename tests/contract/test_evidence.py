"""What is read from a trace, and whether a quotation stands in its passage."""

from __future__ import annotations

import pytest

from contract.evidence import conclusion, read_evidence, stands_in

TRACE = 'The query asks: how is gout treated? It says: "Colchicine eases it." That answers it, so it is relevant.'


def test_the_parts_of_a_trace() -> None:
    found = read_evidence(TRACE)
    assert (found.asked or "").startswith("how is gout treated?")
    assert (found.quotation, found.relevant) == ("Colchicine eases it.", True)


def test_a_quotation_may_itself_quote() -> None:
    found = read_evidence(
        'The query asks: who spoke? It says: "He said "no" and left." So the passage is not relevant.'
    )
    assert (found.quotation, found.relevant) == ('He said "no" and left.', False)


@pytest.mark.parametrize("trace", ["", "The passage is relevant", 'An open quote: "never closed', '""'])
def test_a_trace_without_a_quotation_has_none(trace: str) -> None:
    assert read_evidence(trace).quotation is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So the passage is relevant.", True),
        ("So the passage is not relevant.", False),
        ("That answers it.", True),
        ("That does not answer it.", False),
        ("It does not fully answer it, so the passage is not relevant.", False),
        ("It answers it, so the passage is not relevant.", None),
        ("The passage is about bread.", None),
    ],
)
def test_a_conclusion_is_read_from_words(text: str, expected: bool | None) -> None:
    assert conclusion(text) is expected


def test_words_of_the_quotation_are_no_conclusion() -> None:
    assert (
        read_evidence('Asked: x. It says: "This is relevant and answers all." So it is not relevant.').relevant is False
    )


def test_only_white_space_may_differ() -> None:
    passage = "Gout is\n treated with  colchicine. It helps."
    assert stands_in("Gout is treated with colchicine.", passage)
    assert not stands_in("gout is treated with colchicine.", passage)
    assert not stands_in("Gout is treated with colchicine, it helps.", passage)
    assert not stands_in("  ", passage)
