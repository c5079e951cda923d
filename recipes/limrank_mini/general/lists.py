"""Lists without labels: any text as the query with near to far passages, for training on the teacher's scores alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recipes.limrank_mini.general.derived import LONGEST_QUERY, SHORTEST_QUERY
from recipes.limrank_mini.general.drafts import LONGEST, Draft, spdx
from recipes.limrank_mini.general.negatives import nearest
from recipes.limrank_mini.general.sentences import count_words, cut, sentences
from recipes.limrank_mini.general.sources import Passage
from recipes.limrank_mini.general.vectors import Encoder
from retrieval.bm25 import Bm25
from synth.methods.distil.queries import query_from
from synth.run.draws import choose, draw

Stretches = tuple[tuple[int, int], ...]

DEPTH = 60
RANKS = ((0, 1), (1, 4), (4, 10), (10, 25), (25, DEPTH))  # one passage is drawn from each range of MiniLM's ranks
BM25_RANKS = ((0, 5), (5, 20))  # and of BM25's, whose hits share words but may mean something else
FAR = 1  # and this many from the whole pool
_SENTENCE_WORDS = (6, 60)


def list_queries(pieces: Sequence[Passage], questions: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """(id, text) of `count` queries: questions, sentences, whole pieces as long queries, and search keywords."""
    kinds = ("question", "question", "sentence", "sentence", "long", "words")
    made: dict[str, str] = {}
    for number in range(4 * count):
        kind = choose(kinds, "kind", str(number))
        if kind == "question" and questions:
            name, text = choose(questions, "question", str(number))
            made.setdefault(text, f"list/question/{name}")
        elif kind != "question":
            piece = choose(pieces, "piece", str(number))
            text = _text(kind, piece, number) or ""
            if text:
                made.setdefault(text, f"list/{kind}/{piece.source}/{piece.id}/{number}")
        if len(made) == count:
            break
    return [(name, text) for text, name in made.items()]


def teacher_lists(queries: Sequence[tuple[str, str]], pool: Sequence[Passage], encoder: Encoder) -> Iterator[Draft]:
    """One draft per query, over passages of `pool`; the passage that a long query was taken from is left out."""
    texts = [piece.text for piece in pool]
    vectors, words = encoder(texts), Bm25(texts)
    asked = encoder([text for _, text in queries])
    shared = words.search([text for _, text in queries], BM25_RANKS[-1][1] + 1)
    for (name, text), vector, hits in zip(queries, asked, shared, strict=True):
        (near,) = nearest(vector[np.newaxis], vectors, DEPTH)
        stages = (RANKS, near), (BM25_RANKS, [hit.index for hit in hits])
        found = [(ranks, [place for place in places if not _whole(text, pool[place])]) for ranks, places in stages]
        chosen = _chosen(name, found, len(pool))
        passages = tuple(dict.fromkeys(cut(pool[place].text, LONGEST) for place in chosen))
        if len(passages) < 2:
            continue
        licences = tuple(sorted({spdx(pool[place].licence) for place in chosen}))
        yield Draft(name, text, passages, False, "teacher-lists", licences, "general")


def _text(kind: str, piece: Passage, number: int) -> str | None:
    if kind == "words":
        return query_from(piece.body, f"{piece.id}/{number}")
    if kind == "sentence":
        fitting = [part for part in sentences(piece.body) if _between(part, *_SENTENCE_WORDS)]
        return choose(fitting, "sentence", piece.id, str(number)) if fitting else None
    text = cut(piece.body, LONGEST_QUERY)
    return text if _between(text, SHORTEST_QUERY, LONGEST_QUERY) else None


def _whole(query: str, piece: Passage) -> bool:
    """Whether a long query is the whole text of the piece."""
    return count_words(query) >= SHORTEST_QUERY and piece.body.startswith(query)


def _between(text: str, least: int, most: int) -> bool:
    return least <= count_words(text) <= most


def _chosen(name: str, found: Sequence[tuple[Stretches, Sequence[int]]], size: int) -> list[int]:
    """One index from each range of each first stage's ranks, and some from the whole pool, without duplicates."""
    chosen: dict[int, None] = {}
    for number, (ranks, places) in enumerate(found):
        for start, stop in ranks:
            if stretch := places[start:stop]:
                chosen.setdefault(choose(stretch, name, "rank", str(number), str(start)))
    for number in range(FAR):
        chosen.setdefault(int(draw(name, "far", str(number)) * size))
    return list(chosen)
