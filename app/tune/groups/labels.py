"""What a teacher says of the candidates of each query that is trained on: a bi-encoder's cosines, or grades by a
language model. Scores are kept as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.tune.groups.candidates import Found
from app.tune.queries.made import Query
from synth.run.draws import choose

# Ranks among the fused candidates of which each gives one passage to a query that nobody judged.
_STRETCHES = ((0, 1), (1, 3), (3, 6), (6, 12), (12, 24), (24, 60))


@dataclass(frozen=True, slots=True)
class Labelled:
    """`passages` are indexes, `scores` the teacher's. `answers`: the indexes among them that are known to answer."""

    query: str
    passages: tuple[int, ...]
    scores: tuple[float, ...]
    answers: tuple[int, ...]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Labelled:
        return cls(row["query"], tuple(row["passages"]), tuple(row["scores"]), tuple(row["answers"]))


def by_bi_encoder(query: Query, found: Found) -> Labelled:
    """The cosines of a query with an answer for its answers and all that was found; of one without, for a passage of
    each stretch of the ranks."""
    fused = [index for index in found.fused() if index not in found.own]
    if not query.relevant:
        stretches = [fused[start:stop] for start, stop in _STRETCHES]
        fused = [choose(stretch, query.id, str(number)) for number, stretch in enumerate(stretches) if stretch]
    listed = [*found.own, *fused]
    scores = tuple(round(found.cosines[index], 4) for index in listed)
    return Labelled(query.id, tuple(listed), scores, found.own)
