"""`cascade.json`: two models one after the other against each of them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluation.metrics import PerQuery, by_order, per_query
from evaluation.results.files import Made, parsed
from evaluation.scorers.http import RankedDocuments
from evaluation.significance import Interval, interval, paired
from retrieval.trec import Qrels

MEASURE = "nDCG@10"


@dataclass(slots=True)
class Measured:
    """What one way of ranking gave and took: orders and tokens by query, those of them that both models ranked, and the
    seconds of all calls."""

    orders: dict[str, Sequence[str]] = field(default_factory=dict)
    by_query: dict[str, int] = field(default_factory=dict)
    cascaded: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Of all calls."""
        return sum(self.by_query.values())

    def add(self, query: str, order: Sequence[str], ranking: RankedDocuments) -> None:
        """Counts one call."""
        self.orders[query] = order
        self.by_query[query] = ranking.tokens
        if ranking.cascaded:
            self.cascaded.add(query)
        self.seconds += ranking.seconds


@dataclass(frozen=True, slots=True)
class CascadeRow:
    """`second_tokens` of the served model, and their `share` of those that it takes alone; `time` relative to it."""

    way: str
    value: Interval
    against_second: Interval
    tokens: int
    second_tokens: int
    share: float
    seconds: float
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeResult:
    """`keep` None: as the service does where it is not told. `fitted_on`: the task on which this run fitted how many it
    keeps; empty where it fitted nothing."""

    task: str
    first: str
    second: str
    mode: str
    protocol: str
    queries: int
    keep: int | None
    rows: Sequence[CascadeRow]
    made: Made
    fitted_on: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": "cascade", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> CascadeResult:
        """Raise BadData, with the file's `name`, where a field is missing."""
        return parsed(cls, value, name)


def compared(qrels: Qrels, measured: Mapping[str, Measured], first: str, second: str) -> list[CascadeRow]:
    """A row for each way. `first` and `second` name those of the models alone: where both models ranked a query, the
    first took the tokens that it takes alone, and the others are the second's."""
    values: dict[str, PerQuery] = {
        way: per_query(qrels, by_order(found.orders), [MEASURE])[MEASURE] for way, found in measured.items()
    }
    alone = measured[second]
    rows = []
    for way, found in measured.items():
        others = sum(measured[first].by_query[query] for query in found.cascaded)
        of_second = 0 if way == first else found.tokens - others
        rows.append(
            CascadeRow(
                way=way,
                value=interval(list(values[way].values())),
                against_second=paired(values[way], values[second]).difference,
                tokens=found.tokens,
                second_tokens=of_second,
                share=of_second / alone.tokens,
                seconds=round(found.seconds, 2),
                time=found.seconds / alone.seconds,
            )
        )
    return rows
