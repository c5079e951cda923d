"""The least score of a result: a field of bodies with `documents` under three names, and a parameter of every path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import Field

from service.errors import BadRequest
from service.ranking import RerankCall
from service.wire.fields import WireBody

NAMES = ("min_score", "score_threshold", "threshold")
_MEANING = "Results of a lower relevance, in [0, 1], are left out."
_LONGEST_SHOWN = 40
# As JSON and clients write one; Python's `float` also takes 0_5 and digits of other scripts. A plus arrives as a blank.
_NUMBER = re.compile(r"[ +-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Least = Annotated[float, Field(ge=0, le=1)]


class ThresholdBody(WireBody):
    """The fields of a body that limit the score of results."""

    min_score: Least | None = Field(None, description=_MEANING)
    score_threshold: Least | None = Field(None, description="Another name of `min_score`.")
    threshold: Least | None = Field(None, description="Another name of `min_score`.")

    def least_score(self) -> float | None:
        """Raises BadRequest where two names have different values."""
        return _agreed((name, getattr(self, name)) for name in NAMES)


PARAMETER = {
    "name": NAMES[0],
    "in": "query",
    "required": False,
    "schema": {"type": "number", "minimum": 0, "maximum": 1},
    "description": f"{_MEANING} For bodies with `texts` or `passages`, which have no field for it. Relevance counts "
    "also where the answer shows log-odds. The header `X-Below-Min-Score` says how many were left out.",
}
"""The parameter as the OpenAPI page describes it."""


def with_parameters(call: RerankCall, query: bytes) -> RerankCall:
    """Returns `call` with the least score that the query string names, in any of its three names; others are ignored.

    Raises BadRequest for a value that is no number from 0 to 1, and for two that differ.
    """
    if not query:
        return call
    sent = [(name, value) for name, value in parse_qsl(query.decode("latin-1")) if name in NAMES]
    if not sent:
        return call
    read = [(name, _number(name, value)) for name, value in sent]
    return replace(call, min_score=_agreed([(NAMES[0], call.min_score), *read]))


def _agreed(named: Iterable[tuple[str, float | None]]) -> float | None:
    found: tuple[str, float] | None = None
    for name, value in named:
        if value is None:
            continue
        if found is not None and found[1] != value:
            raise BadRequest(f"{found[0]} is {found[1]} and {name} is {value}; send only one of them.", field=name)
        found = found or (name, value)
    return None if found is None else found[1]


def _number(name: str, value: str) -> float:
    number = float(value) if _NUMBER.fullmatch(value) else -1.0
    if not 0 <= number <= 1:
        shown = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "..."
        raise BadRequest(f"{name} must be a number from 0 to 1, got {shown!r}.", field=name)
    return number
