"""Queries without a language model: headings, questions in the text, and words of a passage (inverse cloze)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.tune.documents.passages import Passage
from contract.reading import reading_key
from retrieval.sentences import split_sentences
from retrieval.words import count_words, words
from synth.methods.distil.queries import query_from
from synth.run.draws import choose, draw

OWN, HEADING, QUESTION, WORDS, WRITTEN = "own", "heading", "question", "words", "written"
_LONGEST_SECTION = 6  # passages; a heading over more of them says little
_LEFT = 20  # words that a passage must keep where its sentence becomes the query
_KEPT = 0.5  # share of the inverse cloze queries whose sentence stays in the passage
# Held-out queries below which words of passages are measured on too. They say little of a reranker: where the sentence
# is still there BM25 finds it by its words, and where it is gone nothing finds the passage.
_LEAST_TESTED = 30
_NATURAL = 2 / 3  # share of headings and questions where there are enough of each
_BARE = re.compile(r"^[\d.\s)(:-]+|[\s:¶#.]+$")
_GENERIC_NAMES = (
    "introduction|overview|summary|example|examples|usage|note|notes|see also|references|contents|table of contents",
    "description|parameters|returns|changelog|release notes|details|more|links|credits|license|licence|abstract",
    "conclusion|appendix|index|home|background|resources|further reading|next steps|general|other|misc|bug fixes",
    "features|fixes|changes|new features|improvements|deprecations|contributors|warning|tip|important",
)
_GENERIC = frozenset("|".join(_GENERIC_NAMES).split("|"))
_VERSION = re.compile(r"^v?\d+(\.\w+)+|^\d{4}-\d\d")


@dataclass(frozen=True, slots=True)
class Query:
    """`relevant`: id -> grade of what answers it, passages or (`by_document`) documents; empty where nobody knows.
    `held_out` queries are measured on, the others trained on."""

    id: str
    text: str
    kind: str
    relevant: Mapping[str, int]
    held_out: bool
    by_document: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Query:
        return cls(**row)


def make_queries(
    passages: Sequence[Passage], held_out: frozenset[str], most: int, most_tested: int
) -> tuple[list[Query], list[Passage]]:
    """Queries of both sides, and the passages as they are from now on: a sentence that became a query may be gone."""
    natural = list(_headings(passages, held_out))
    worded: list[Query] = []
    texts: list[Passage] = []
    for passage in passages:
        side = passage.document in held_out
        made, text = _from_text(passage, side)
        texts.append(replace(passage, text=text))
        if made is not None:
            (natural if made.kind == QUESTION else worded).append(made)
    trained = _mixed(_side(natural, False), _side(worded, False), most)
    tested = _side(natural, True)[:most_tested]
    missing = max(0, min(most_tested, _LEAST_TESTED) - len(tested))
    return _each_once([*trained, *tested, *_side(worded, True)[:missing]]), texts


def _side(queries: Sequence[Query], held_out: bool) -> list[Query]:
    same = [query for query in queries if query.held_out is held_out]
    return sorted(same, key=lambda query: draw(query.id, "order"))


def _mixed(natural: Sequence[Query], worded: Sequence[Query], count: int) -> list[Query]:
    """Up to `count`, two thirds of them natural; what one kind lacks the other makes up for."""
    first = list(natural[: max(round(_NATURAL * count), count - len(worded))])
    return [*first, *worded[: count - len(first)]]


def _each_once(queries: Sequence[Query]) -> list[Query]:
    """Without queries that read the same, held-out ones before others."""
    ordered = sorted(queries, key=lambda query: not query.held_out)
    found: dict[str, Query] = {}
    for query in ordered:
        found.setdefault(reading_key(query.text), query)
    return list(found.values())


def _headings(passages: Sequence[Passage], held_out: frozenset[str]) -> Iterator[Query]:
    """A query for each section whose heading, alone or behind one above it, names it and no other."""
    sections: dict[tuple[str, int], list[Passage]] = {}
    for passage in passages:
        sections.setdefault((passage.document, passage.section), []).append(passage)
    named = {place: list(_names(first[0])) for place, first in sections.items()}
    uses = Counter(reading_key(name) for names in named.values() for name in dict.fromkeys(names))
    for (document, section), inside in sections.items():
        name = next((name for name in named[document, section] if uses[reading_key(name)] == 1), None)
        if name is not None and len(inside) <= _LONGEST_SECTION:
            relevant = {passage.id: 1 for passage in inside}
            yield Query(f"heading/{document}/{section}", name, HEADING, relevant, document in held_out)


def _names(passage: Passage) -> Iterator[str]:
    """What a section may be called, from the shortest on."""
    path = [bare for name in passage.headings if (bare := _bare(name))]
    if not path:
        return
    last, above = path[-1], [*([_bare(passage.title)] if passage.title else []), *path[:-1]]
    if _VERSION.match(last):
        return
    if last.lower() not in _GENERIC and 2 <= count_words(last) <= 15 and _tells(last):
        yield last
    for name in reversed(above):
        if name and name.lower() != last.lower() and count_words(f"{name} {last}") <= 15:
            yield f"{name} {last}"


def _from_text(passage: Passage, held_out: bool) -> tuple[Query | None, str]:
    """A question that the passage asks, else some of its words; and the passage without that sentence, if it goes."""
    sentences = split_sentences(passage.text)
    for asked in (sentence.rsplit("\n\n")[-1] for sentence in sentences):
        if asked.endswith("?") and 4 <= count_words(asked) <= 20 and _is_prose(asked) and _tells(asked):
            rest = _without(passage.text, asked)
            if count_words(rest) >= _LEFT:
                return _query(passage, _bare_question(asked), QUESTION, held_out), rest
    fitting = [part for part in sentences if 6 <= count_words(part) <= 40 and _is_prose(part)]
    if not fitting:
        return None, passage.text
    sentence = choose(fitting, passage.id, "sentence")
    text = query_from(sentence, passage.id)
    if text is None or count_words(text) < 2:
        return None, passage.text
    rest = _without(passage.text, sentence)
    gone = draw(passage.id, "kept") >= _KEPT and count_words(rest) >= _LEFT
    return _query(passage, text, WORDS, held_out), rest if gone else passage.text


def _query(passage: Passage, text: str, kind: str, held_out: bool) -> Query:
    return Query(f"{kind}/{passage.id}", text, kind, {passage.id: 1}, held_out)


def _without(text: str, sentence: str) -> str:
    return text.replace(sentence, "", 1).strip()


def _bare(heading: str) -> str:
    return _BARE.sub("", heading).strip()


def _bare_question(sentence: str) -> str:
    return sentence.lstrip("-*•>#0123456789.) \t\n").replace("\n", " ")


def _is_prose(sentence: str) -> bool:
    """Whether most of its signs are letters and blanks: code is not asked for in its own words."""
    return sum(sign.isalpha() or sign.isspace() for sign in sentence) >= 0.85 * len(sentence)


def _tells(text: str) -> bool:
    return any(len(word) >= 4 and word.isalpha() for word in words(text)) or not text.isascii()
