"""Measures each half of some queries under parameters that were fitted on the other, so that no query is measured with
what it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contract.adaptive.parameters import Parameters
from evaluation.adaptive.replay import Replayed, Variant, baselines, replay
from evaluation.adaptive.traces import RecordedQuery
from evaluation.errors import BadData

_LEAST = 4  # queries

Fit = Callable[[Sequence[RecordedQuery]], Parameters]


def check_enough(queries: Sequence[RecordedQuery]) -> None:
    """Raise BadData for too few queries."""
    if len(queries) < _LEAST:
        raise BadData(
            f"Only {len(queries)} queries with candidates to fit on; at least {_LEAST} are needed, 200 are better."
        )


def crossed(queries: Sequence[RecordedQuery], variants: Sequence[Variant], fit: Fit) -> dict[Variant, Replayed]:
    """The baselines and every variant on all queries. Raises BadData where `fit` does."""
    found: dict[Variant, Replayed] = {}
    halves = queries[::2], queries[1::2]
    for measured, fitted_on in (halves, halves[::-1]):
        parameters = fit(fitted_on)
        for result in (*baselines(measured, parameters), *(replay(measured, parameters, v) for v in variants)):
            before = found.get(result.variant)
            found[result.variant] = result if before is None else before.joined(result)
    return found
