"""Parameters of adaptive mode, fitted on made-up traces whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.adaptive.parameters import Gate, read_gate
from contract.reasoning import Status
from evaluation.adaptive.fitting import fit, isotonic
from evaluation.adaptive.traces import RecordedQuery, RecordedTrace
from evaluation.errors import BadData
from tests.evaluation.adaptive.simulated import DISTANCE, simulated


def test_the_more_exact_verdict_gets_the_larger_weight() -> None:
    def weights(of_direct: float, of_reasoned: float) -> tuple[float, float]:
        """Of the scores as the model gives them."""
        found = fit(simulated(100, of_direct=of_direct, of_reasoned=of_reasoned), DISTANCE, 64)
        return found.fusion[0] * found.direct.scale, found.fusion[1] * found.reasoned.scale

    direct, reasoned = weights(2.0, 0.8)
    assert reasoned > 2 * direct > 0
    direct, reasoned = weights(0.8, 2.0)
    assert direct > 2 * reasoned > 0


def test_the_map_of_direct_scores_is_strictly_ascending_and_survives_writing() -> None:
    found = fit(simulated(60, of_direct=2.0, of_reasoned=1.0), DISTANCE, 64)
    values = [found.unreasoned(n / 10) for n in range(-100, 101)]
    assert values == sorted(set(values))
    assert read_gate(Gate(found).to_json("f"), "f").parameters == found


def test_probes_come_nearer_to_the_end_along_the_trace() -> None:
    found = fit(simulated(100, of_direct=2.0, of_reasoned=1.0), DISTANCE, 64)
    assert found.probe_spread.xs[0] == DISTANCE
    assert found.probe_spread(DISTANCE) > found.probe_spread(48) > 0
    assert found.spread(0.0) > found.probe_spread(DISTANCE)


def test_costs_are_those_of_the_traces() -> None:
    found = fit(simulated(100, of_direct=2.0, of_reasoned=1.0), DISTANCE, 64)
    assert found.mean_tokens == pytest.approx(35, abs=2)
    assert found.median_tokens == pytest.approx(35, abs=3)
    assert found.probe_tokens == 8  # a quarter of the median, as a multiple of the recorded distance
    assert found.cap == 64


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30))
def test_pooling_gives_ascending_means_of_all_values(values: list[float]) -> None:
    blocks = isotonic(np.asarray(values), np.ones(len(values)))
    means = [mean for *_, mean in blocks]
    assert means == sorted(means)
    assert sum((last - first) * mean for first, last, mean in blocks) == pytest.approx(sum(values), abs=1e-6)


@pytest.mark.parametrize(
    ("relevant", "probes", "sentence"),
    [
        (False, ((0, 1.0), (9, 2.0)), "0 are relevant"),
        (True, ((0, 1.0), (0, 2.0)), "writes no reasoning"),
    ],
)
def test_pairs_that_nothing_can_be_fitted_on_are_refused(
    relevant: bool, probes: tuple[tuple[int, float], ...], sentence: str
) -> None:
    traces = [RecordedTrace(probes, Status.COMPLETE)] * 2
    with pytest.raises(BadData, match=sentence):
        fit([RecordedQuery("q", ["a", "b"], traces, [relevant, False], {})], DISTANCE, 64)


def test_scores_that_fall_with_relevance_are_refused() -> None:
    queries = simulated(30, of_direct=0.5, of_reasoned=0.5)
    turned = [RecordedQuery(q.id, q.documents, q.traces, [not r for r in q.relevant], q.grades) for q in queries]
    with pytest.raises(BadData, match="do not rise with relevance"):
        fit(turned, DISTANCE, 64)
