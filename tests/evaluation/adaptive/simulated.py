"""Recorded traces of a model that is made up: how far its direct and its reasoned scores are from the truth."""

from __future__ import annotations

import numpy as np

from contract.reasoning import Status
from evaluation.adaptive.traces import RecordedQuery, RecordedTrace

DISTANCE = 8


def simulated(
    queries: int, *, of_direct: float, of_reasoned: float, documents: int = 12, seed: int = 1
) -> list[RecordedQuery]:
    """Two relevant documents in each query; scores are the truth with noise of these standard deviations. A trace has
    10 to 60 tokens; within the first two fifths its verdict moves evenly from the direct to the reasoned one."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        truth = np.where(np.arange(documents) < 2, 2.0, -2.0)
        direct = truth + draw.normal(0, of_direct, documents)
        reasoned = truth + draw.normal(0, of_reasoned, documents)
        tokens = draw.integers(10, 61, documents)
        traces = [_trace(*values) for values in zip(direct.tolist(), reasoned.tolist(), tokens.tolist(), strict=True)]
        order = draw.permutation(documents).tolist()
        names = [f"d{index}" for index in order]
        grades = {"d0": 1, "d1": 1}
        made.append(RecordedQuery(f"q{number}", names, [traces[i] for i in order], [i < 2 for i in order], grades))
    return made


def _trace(direct: float, reasoned: float, tokens: int) -> RecordedTrace:
    places = [*range(0, tokens, DISTANCE), tokens]
    return RecordedTrace(
        tuple((at, direct + (reasoned - direct) * min(1.0, 2.5 * at / tokens)) for at in places), Status.COMPLETE
    )
