"""Documents cut into passages of whole sentences, each within one section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.tune.documents.document import Document
from retrieval.sentences import split_sentences
from retrieval.words import count_words, join_sentences, split_words

LEAST, USUAL, MOST = 12, 80, 160  # words of a passage: less is left out, from USUAL on it ends, and none has more


@dataclass(frozen=True, slots=True)
class Passage:
    """`section` numbers the sections of its document; `headings` are those above the text, which are not in it."""

    id: str
    document: str
    title: str
    section: int
    headings: tuple[str, ...]
    text: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Passage:
        return cls(**{**row, "headings": tuple(row["headings"])})


def passages_of(document: Document) -> Iterator[Passage]:
    """The passages in order. A section's last piece goes to the one before it where both have room in one."""
    number = 0
    for place, section in enumerate(document.sections):
        for text in _pieces(section.text):
            if count_words(text) >= LEAST:
                yield Passage(f"{document.id}#{number}", document.id, document.title, place, section.headings, text)
                number += 1


def _pieces(text: str) -> list[str]:
    made: list[list[str]] = []
    words = USUAL
    for paragraph in _parts(text):
        count = count_words(paragraph)
        if words >= USUAL or words + count > MOST:
            made.append([])
            words = 0
        made[-1].append(paragraph)
        words += count
    texts = ["\n\n".join(piece) for piece in made]
    if len(texts) > 1 and count_words(texts[-1]) < LEAST:
        last = texts.pop()
        texts[-1] = f"{texts[-1]}\n\n{last}"
    return texts


def _parts(text: str) -> Iterator[str]:
    """The paragraphs; one that is too long in its sentences, and a sentence that is too long in pieces."""
    for paragraph in (part.strip() for part in text.split("\n\n")):
        if not paragraph:
            continue
        if count_words(paragraph) <= MOST:
            yield paragraph
            continue
        taken: list[str] = []
        for sentence in split_sentences(paragraph):
            if taken and count_words(join_sentences([*taken, sentence])) > MOST:
                yield join_sentences(taken)
                taken = []
            if count_words(sentence) > MOST:
                yield from _cut(sentence)
            else:
                taken.append(sentence)
        if taken:
            yield join_sentences(taken)


def _cut(sentence: str) -> Iterator[str]:
    words = split_words(sentence)
    for start in range(0, len(words), MOST):
        yield " ".join(words[start : start + MOST])
