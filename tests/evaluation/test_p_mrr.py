"""p-MRR against cases computed by hand, and against mteb."""

from __future__ import annotations

import pytest

from evaluation.metrics import p_mrr, rank_of

RANKING = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (1, 1, 0.0),
        (1, 4, 1 - 1 / 4),  # it fell, as the instruction wants
        (4, 1, 1 / 4 - 1),  # it rose
        (2, 3, 1 - 2 / 3),
        (3, 2, 2 / 3 - 1),
    ],
)
def test_one_document_moves(before: int, after: int, value: float) -> None:
    def at(place: int) -> list[str]:
        others = ["x", "y", "z"]
        return [*others[: place - 1], "moved", *others[place - 1 :]]

    assert p_mrr({"q": at(before)}, {"q": at(after)}, {"q": ["moved"]})["q"] == pytest.approx(value)


def test_documents_are_averaged_before_queries() -> None:
    original = {"q": RANKING, "r": RANKING}
    altered = {"q": ["b", "c", "d", "a"], "r": RANKING}
    found = p_mrr(original, altered, {"q": ["a", "b"], "r": ["c"]})
    assert found == pytest.approx({"q": ((1 - 1 / 4) + (1 / 2 - 1)) / 2, "r": 0.0})


def test_a_missing_document_stands_behind_the_last_and_a_missing_query_has_no_value() -> None:
    assert rank_of(RANKING, "zz") == 5
    assert p_mrr({"q": RANKING}, {"q": RANKING[1:]}, {"q": ["a"]})["q"] == pytest.approx(1 - 1 / 4)
    assert p_mrr({"q": RANKING}, {}, {"q": ["a"]}) == {}
    assert p_mrr({"q": RANKING}, {"q": RANKING}, {"q": []}) == {}


def test_the_figures_are_those_of_mteb() -> None:
    """The values are what calculate_pmrr of mteb 2.26.24 gives for these scores (none of them tied)."""
    before = {str(q): {f"d{i}": (i * 37 + q * 11) % 101 for i in range(20)} for q in range(5)}
    after = {str(q): {f"d{i}": (i * 53 + q * 29) % 103 for i in range(20)} for q in range(5)}
    changed = {str(q): [f"d{(q * 3 + k * 7) % 20}" for k in range(q % 3 + 1)] for q in range(5)}

    def ranked(run: dict[str, dict[str, int]]) -> dict[str, list[str]]:
        return {query: sorted(found, key=lambda one: -found[one]) for query, found in run.items()}

    found = p_mrr(ranked(before), ranked(after), changed)
    assert list(found.values()) == pytest.approx(
        [0.0, -0.020833333333333315, 0.04563492063492064, 0.33333333333333337, -0.06547619047619047]
    )
    assert sum(found.values()) / 5 == pytest.approx(0.058531746031746046)
