"""Groups of derived queries: the passage that a query was split from, against its nearest neighbours by the
bi-encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from recipes.limrank_mini.general.derived import Derived
from recipes.limrank_mini.general.drafts import LONGEST, Draft, spdx
from recipes.limrank_mini.general.negatives import NEAR_POSITIVE, nearest
from recipes.limrank_mini.general.sentences import cut, holds, sentences
from recipes.limrank_mini.general.sources import Passage
from recipes.limrank_mini.general.vectors import Encoder
from synth.run.draws import draw

NEGATIVES = 4
DEPTH = 40


def derived_groups(
    derived: Sequence[Derived], pool: Sequence[Passage], encoder: Encoder, refused: Counter[str]
) -> Iterator[Draft]:
    """One draft per query that has at least two negatives.

    Rejects a candidate that is from the same document, near the positive, nearer to the query than the positive, or
    that contains a sentence of the query. `refused` counts the rejected ones.
    """
    passages = encoder([piece.text for piece in pool])
    queries = encoder([item.query for item in derived])
    positives = encoder([item.positive for item in derived])
    for item, query, positive, near in zip(derived, queries, positives, nearest(queries, passages, DEPTH), strict=True):
        ceiling = float(query @ positive)
        kept: list[int] = []
        for place in near:
            reason = (
                "same document"
                if (pool[place].source, pool[place].doc) == (item.piece.source, item.piece.doc)
                else "near the relevant passage"
                if float(passages[place] @ positive) > NEAR_POSITIVE
                else "nearer to the query than the relevant passage"
                if float(passages[place] @ query) > ceiling
                else "holds the answer or evidence"
                if any(holds(pool[place].text, part) for part in sentences(item.query))
                else ""
            )
            if reason:
                refused[reason] += 1
            else:
                kept.append(place)
        if len(kept) >= 2:
            yield _draft(item, kept, pool)


def _draft(item: Derived, kept: Sequence[int], pool: Sequence[Passage]) -> Draft:
    """Takes the two nearest of those kept, and draws others from the rest."""
    behind = sorted(kept[2:], key=lambda place: draw(item.id, "negative", str(place)))
    chosen = [*kept[:2], *behind[: NEGATIVES - 2]]
    licences = {spdx(item.piece.licence), *(spdx(pool[place].licence) for place in chosen)}
    texts = (item.positive, *(pool[place].text for place in chosen))
    return Draft(
        item.id,
        item.query,
        tuple(dict.fromkeys(cut(text, LONGEST) for text in texts)),
        True,
        item.piece.source,
        tuple(sorted(licences)),
        item.piece.domain,
    )
