"""How well a model ranks the held-out groups: nDCG@10 of the one positive, compared to BM25 and the base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from retrieval.bm25 import Bm25
from trainer.cross_encoder.groups import Row

HELD_OUT = "held-out nDCG@10"  # the name of these scores in a manifest
_DEPTH = 10


class Scorer(Protocol):
    """Scores passages against one query."""

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]: ...


def ndcg(scores: Sequence[float]) -> float:
    """nDCG of one group, whose first passage is the only relevant one. Ties count against it."""
    rank = 1 + sum(score >= scores[0] for score in scores[1:])
    return 1 / math.log2(1 + rank) if rank <= _DEPTH else 0.0


def by_model(scorer: Scorer, rows: Sequence[Row]) -> float:
    """The mean over `rows`."""
    return _mean([ndcg(scorer.score(row.query, row.passages, row.instruction)) for row in rows])


def by_bm25(rows: Sequence[Row]) -> float:
    """The same for BM25 over the passages of all rows, with the query alone."""
    passages = list(dict.fromkeys(passage for row in rows for passage in row.passages))
    places = {passage: place for place, passage in enumerate(passages)}
    index = Bm25(passages)
    return _mean([ndcg(index.scores(row.query, [places[passage] for passage in row.passages])) for row in rows])


def say_held_out(found: Mapping[str, float]) -> str:
    """The scores in one or two sentences, beginning with any other ranking that is better."""
    others = {"BM25": found["bm25"]} | ({"the base untrained": found["base"]} if "base" in found else {})
    listed = ", ".join(f"{name} {value:.4f}" for name, value in others.items())
    sentence = f"{HELD_OUT} {found['score']:.4f} on {found['groups']:.0f} groups ({listed})."
    better = [name for name, value in others.items() if value > found["score"]]
    return f"WORSE than {' and '.join(better)}: do not serve it. {sentence}" if better else sentence


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
