"""The order of training: every pass holds every example once, and batches hold examples of like length."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trainer.run.order import order


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 3), st.integers(1, 16), st.integers(0, 9)
)
def test_each_pass_trains_every_example_once(lengths: list[int], passes: int, batch: int, seed: int) -> None:
    laid = order(lengths, passes=passes, batch=batch, seed=seed)
    for number in range(passes):
        part = laid[number * len(lengths) : (number + 1) * len(lengths)]
        assert Counter(part) == Counter(range(len(lengths)))
    assert laid == order(lengths, passes=passes, batch=batch, seed=seed)


def test_part_of_a_pass_and_another_seed() -> None:
    lengths = list(range(100))
    assert len(order(lengths, passes=0.25, batch=8, seed=1)) == 25
    assert len(order(lengths, passes=1.5, batch=8, seed=1)) == 150
    assert order(lengths, passes=1, batch=8, seed=1) != order(lengths, passes=1, batch=8, seed=2)


def test_a_number_of_steps_counts_instead_of_passes() -> None:
    lengths = list(range(1, 21))
    assert order(lengths, passes=9, batch=4, seed=1, max_steps=3) == order(lengths, passes=1, batch=4, seed=1)[:12]
    laid = order(lengths, passes=1, batch=4, seed=1, max_steps=12)
    assert laid[:40] == order(lengths, passes=2, batch=4, seed=1)
    assert len(laid) == 48
    assert laid[:20] != laid[20:40], "every pass has an order of its own"


def test_batches_hold_little_padding() -> None:
    lengths = [(index * 7919) % 400 + 1 for index in range(1600)]
    laid = order(lengths, passes=1, batch=8, seed=3)
    padded = sum(8 * max(lengths[i] for i in laid[at : at + 8]) for at in range(0, 1600, 8))
    assert padded < 1.15 * sum(lengths)
    shuffled = sum(8 * max(lengths[at : at + 8]) for at in range(0, 1600, 8))
    assert shuffled > 1.5 * sum(lengths)
