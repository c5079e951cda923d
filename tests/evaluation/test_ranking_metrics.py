"""Measures against values computed by hand."""

from __future__ import annotations

import math

import pytest

from evaluation.errors import BadSettings
from evaluation.metrics import by_order, mean, oracle, per_query

QRELS = {"q": {"a": 3, "b": 0, "c": 1}, "r": {"x": 1}, "s": {"y": 1}}
RUN = by_order({"q": ["b", "a", "z", "c"], "r": ["u", "v", "x"]})


def test_measures_are_those_of_the_textbook() -> None:
    found = per_query(QRELS, RUN, ["nDCG@10", "RR@10", "AP@100", "R@2", "P@1", "R(rel=2)@10"])
    gained, best = 3 / math.log2(3) + 1 / math.log2(5), 3 + 1 / math.log2(3)
    assert found["nDCG@10"]["q"] == pytest.approx(gained / best)
    assert found["nDCG@10"]["r"] == pytest.approx(1 / math.log2(4))
    assert found["RR@10"] == pytest.approx({"q": 0.5, "r": 1 / 3, "s": 0})
    assert found["AP@100"] == pytest.approx({"q": (1 / 2 + 2 / 4) / 2, "r": 1 / 3, "s": 0})
    assert found["R@2"] == pytest.approx({"q": 0.5, "r": 0, "s": 0})
    assert found["P@1"] == {"q": 0, "r": 0, "s": 0}
    assert found["R(rel=2)@10"]["q"] == 1.0


def test_a_query_without_candidates_counts_as_0() -> None:
    found = per_query(QRELS, RUN, ["nDCG@10"])["nDCG@10"]
    assert found["s"] == 0.0
    assert mean(found) == pytest.approx(sum(found.values()) / 3)


def test_ties_go_by_the_order_that_is_given_and_not_by_name() -> None:
    tied = {"r": {"x": 1.0, "zz": 1.0}}
    assert per_query({"r": {"x": 1}}, tied, ["P@1"])["P@1"]["r"] == 0.0  # trec_eval: descending id
    assert per_query({"r": {"x": 1}}, by_order(tied), ["P@1"])["P@1"]["r"] == 1.0


def test_the_oracle_reorders_its_candidates_and_finds_no_others() -> None:
    best = oracle(QRELS, {"q": {"b": 2.0, "c": 1.0, "a": 0.5}, "r": {"u": 1.0}})
    assert list(best["q"]) == ["a", "c", "b"]
    assert per_query(QRELS, best, ["nDCG@10"])["nDCG@10"] == {"q": 1.0, "r": 0.0, "s": 0.0}


def test_an_unknown_measure_is_a_sentence() -> None:
    with pytest.raises(BadSettings, match="'nDGC@10' is no measure"):
        per_query(QRELS, RUN, ["nDGC@10"])
