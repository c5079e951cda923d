"""What ends reasoning, and how what a model wrote is read."""

from __future__ import annotations

import pytest

from contract.reasoning import loops


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([7] * 49, True),
        ([7] * 48, False),
        ([1, 2, 3, *[4, 5, 6] * 17], True),
        ([4, 5, 6] * 16, False),
        (list(range(64)) * 4, True),
        (list(range(64)) * 3, False),
        (list(range(65)) * 8, False),
        ([4, 5, 6] * 20 + [7], False),
        ([], False),
    ],
)
def test_a_loop_is_a_piece_that_comes_back_long_enough(written: list[int], expected: bool) -> None:
    assert loops(written) is expected
