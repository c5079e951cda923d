"""Rows for four kinds of reranker.

pointwise   one passage, true or false                          (the contract's records; LimRank, Rank1)
setwise     several passages, and which of them is the best     (Zhuang et al. 2023, arXiv 2310.09497)
listwise    several passages, and their order                   (RankGPT, Sun et al. 2023, arXiv 2304.09542)
lce         one relevant passage against n irrelevant ones      (the contract's groups; Gao et al. 2021)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contract.records import Group, Record
from synth.export.query_groups import QueryGroup
from synth.scratch import digest


class Format(StrEnum):
    POINTWISE = "pointwise"
    SETWISE = "setwise"
    LISTWISE = "listwise"
    LCE = "lce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Each relevant passage gets at least `least_negatives` and at most `negatives` negatives (setwise and LCE); a list
    has at most `window` passages. `seed` determines which ones, and their order."""

    negatives: int = 7
    least_negatives: int = 1
    window: int = 20
    seed: int = 0


def lce_groups(group: QueryGroup, shape: Shape) -> Iterator[Group]:
    """One group per relevant passage; none when there are too few negatives."""
    for positive in group.relevant:
        negatives = _drawn(group.irrelevant, positive.id, shape)[: shape.negatives]
        if len(negatives) >= shape.least_negatives:
            yield Group(
                id=f"{positive.id}/lce",
                query=positive.query,
                instruction=positive.instruction,
                positive=positive.passage,
                negatives=tuple(record.passage for record in negatives),
                source=group.source,
                licence=group.licence,
                domain=positive.domain,
            )


def setwise_rows(group: Group, shape: Shape) -> Iterator[dict[str, Any]]:
    """One row: passages in a random order, and the index of the best."""
    passages = [group.positive, *group.negatives[: shape.negatives]]
    order = _order(len(passages), f"{group.id}/{shape.seed}")
    yield {
        "id": f"{group.id.removesuffix('/lce')}/setwise",
        "query": group.query,
        "instruction": group.instruction,
        "passages": [passages[place] for place in order],
        "best": order.index(0),
        **_origin(group.source, group.licence, group.domain),
    }


def listwise_rows(group: QueryGroup, shape: Shape) -> Iterator[dict[str, Any]]:
    """One row: passages in a random order, the grade of each in [0, 1], and their indices from best to worst.

    The grade is the share of the votes that said relevant, or 1 and 0 by the label. Passages of equal grade are ranked
    in the order of the row, so that a trainer can leave their order out of the loss. None without both kinds of
    passage.
    """
    relevant = _drawn(group.relevant, group.first.id, shape)[: max(1, shape.window // 2)]
    picked = relevant + _drawn(group.irrelevant, group.first.id, shape)[: shape.window - len(relevant)]
    if not relevant or len(picked) - len(relevant) < shape.least_negatives:
        return
    yield _list(
        f"{group.first.id}/listwise",
        [(record.passage, _grade(record)) for record in picked],
        (group.first.query, group.first.instruction, group.source, group.licence, group.first.domain),
        shape,
    )


def listwise_of_group(group: Group, shape: Shape, grades: Sequence[float] | None = None) -> Iterator[dict[str, Any]]:
    """Like `listwise_rows`, for a group: its positive has grade 1, its negatives 0, or `grades`, one for each."""
    negatives = group.negatives[: shape.window - 1]
    grades = [0.0] * len(negatives) if grades is None else grades
    graded = [(group.positive, 1.0), *zip(negatives, grades, strict=True)]
    rest = (group.query, group.instruction, group.source, group.licence, group.domain)
    yield _list(f"{group.id}/listwise", graded, rest, shape)


def _list(
    row_id: str, graded: Sequence[tuple[str, float]], rest: tuple[str, str | None, str, str, str], shape: Shape
) -> dict[str, Any]:
    query, instruction, source, licence, domain = rest
    shown = [graded[place] for place in _order(len(graded), f"{row_id}/{shape.seed}")]
    return {
        "id": row_id,
        "query": query,
        "instruction": instruction,
        "passages": [passage for passage, _ in shown],
        "grades": [grade for _, grade in shown],
        "ranking": sorted(range(len(shown)), key=lambda place: (-shown[place][1], place)),
        **_origin(source, licence, domain),
    }


def _grade(record: Record) -> float:
    """A grade in the half of [0, 1] that belongs to the label, so that the votes never contradict it."""
    if record.votes is None:
        return float(record.relevant)
    share = record.votes.true / (record.votes.true + record.votes.false)
    return round(max(share, 0.5) if record.relevant else min(share, 0.49), 4)


def _origin(source: str, licence: str, domain: str) -> dict[str, str]:
    return {"source": source, "licence": licence, "domain": domain}


def _drawn(records: Sequence[Record], key: str, shape: Shape) -> list[Record]:
    return sorted(records, key=lambda record: digest(str(shape.seed), key, record.id))


def _order(count: int, key: str) -> list[int]:
    return sorted(range(count), key=lambda place: digest(key, str(place)))
