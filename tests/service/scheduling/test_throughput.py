"""The measured speed of an engine, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.engine import Scoring
from service.scheduling.throughput import Throughput


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run_batch(throughput: Throughput, clock: Clock, documents: int, seconds: float, between: float = 0.001) -> None:
    """Documents of 50 tokens in one pass of the model, given back one by one when it ends."""
    throughput.started(Scoring.DIRECT, documents)
    clock.now += seconds
    for _ in range(documents):
        throughput.finished(Scoring.DIRECT, 50.0)
        clock.now += between


@pytest.mark.parametrize("batches", [(20,), (20, 20), (1, 20, 20, 20, 3)])
def test_a_batch_is_measured_whole(batches: Sequence[int]) -> None:
    """A sample that ended with the first of twenty documents would show a twentieth of the speed, and the next call
    would be refused as one that cannot be in time."""
    clock = Clock()
    throughput = Throughput(clock)
    for documents in batches:
        run_batch(throughput, clock, documents, seconds=documents * 0.06)
    assert throughput.seconds_for(Scoring.DIRECT, 50.0) == pytest.approx(0.06, rel=0.1)


def test_documents_that_come_without_a_pause_are_measured_too() -> None:
    clock = Clock()
    throughput = Throughput(clock)
    throughput.started(Scoring.DIRECT, 1000)
    for _ in range(900):
        clock.now += 0.005
        throughput.finished(Scoring.DIRECT, 50.0)
    assert throughput.seconds_for(Scoring.DIRECT, 50.0) == pytest.approx(0.005, rel=0.1)


def test_what_is_abandoned_counts_for_nothing() -> None:
    clock = Clock()
    throughput = Throughput(clock)
    run_batch(throughput, clock, 20, seconds=1.2)
    throughput.started(Scoring.DIRECT, 10)
    clock.now += 60
    throughput.abandoned(Scoring.DIRECT, 10)
    run_batch(throughput, clock, 20, seconds=1.2)
    assert throughput.seconds_for(Scoring.DIRECT, 50.0) == pytest.approx(0.06, rel=0.1)
