"""Splits documents into passages of a few whole sentences, as long as those that web search reranks."""

from __future__ import annotations

from collections.abc import Iterator

from retrieval.sentences import split_sentences
from retrieval.words import count_words, join_sentences
from synth.run.draws import draw

SHORTEST, LONGEST = 35, 90  # words: a passage ends at a length drawn between these
_LEAST = 20  # words of a shorter last passage of a document
_OF_ONE_DOCUMENT = 6


def chunks(document_id: str, text: str) -> Iterator[str]:
    """The first passages of a document: whole sentences up to a length that is drawn for each passage. Leaves out
    sentences longer than LONGEST, which are mostly lists."""
    made, taken, words, wanted = 0, list[str](), 0, _length(document_id, 0)
    for sentence in split_sentences(text.strip()):
        count = count_words(sentence)
        if not 0 < count <= LONGEST:
            continue
        taken.append(sentence)
        words += count
        if words >= wanted:
            yield join_sentences(taken)
            made, taken, words = made + 1, [], 0
            wanted = _length(document_id, made)
            if made == _OF_ONE_DOCUMENT:
                return
    if words >= _LEAST:
        yield join_sentences(taken)


def _length(document_id: str, number: int) -> int:
    return SHORTEST + int(draw(document_id, "length", str(number)) * (LONGEST - SHORTEST + 1))
