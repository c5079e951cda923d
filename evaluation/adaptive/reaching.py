"""Fits what a first stage's scores say of the served model's, on pairs that both have scored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contract.adaptive.reaching import Reaching
from evaluation.adaptive.fitting import change
from evaluation.errors import BadData
from evaluation.scorers.scorer import Scored

LEAST_PAIRS = 40

Scores = Mapping[str, Mapping[str, Scored]]


def fit_reaching(first: Scores, second: Scores) -> Reaching:
    """From query -> document -> score of both models on the same pairs; no labels are needed. Raises BadData for few
    pairs."""
    pairs = [
        (found.score, second[query][document].score)
        for query, of_query in first.items()
        for document, found in of_query.items()
    ]
    if len(pairs) < LEAST_PAIRS:
        raise BadData(
            f"Only {len(pairs)} pairs to fit on; at least {LEAST_PAIRS} are needed, those of 100 queries are better."
        )
    before, after = np.asarray(pairs, dtype=np.float64).T
    return Reaching(*change(before, after))
