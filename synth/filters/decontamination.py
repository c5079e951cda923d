"""Drops training data that overlaps with the evaluation data: 13 consecutive words in common with named evaluation
folders.

13-gram overlap is the measure of Brown et al. 2020 (arXiv 2005.14165, appendix C). A shorter text, as most queries are,
overlaps when it equals, word for word, a whole text of the evaluation set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.records import Record
from retrieval.beir import BeirFolder
from retrieval.rejects import Listed, Refusing, Rejects
from retrieval.words import words
from synth.errors import BadInput
from synth.filters.word_runs import RunIndex, build_run_index, word_runs

WORDS = 13
COMMON = 10  # evaluation texts: a run that more of them share is a set phrase of the source and is ignored


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A BEIR folder, or one split of it: its queries and the documents judged for them."""

    folder: Path
    split: str | None = None

    @classmethod
    def named(cls, text: str) -> EvaluationSet:
        """Parses `FOLDER` or `FOLDER:SPLIT`."""
        folder, colon, split = text.rpartition(":")
        return cls(Path(folder), split) if colon and "/" not in split else cls(Path(text))

    @property
    def name(self) -> str:
        return f"{self.folder.name}:{self.split}" if self.split else self.folder.name

    def texts(self, rejects: Rejects) -> Iterator[str]:
        """Its queries, then its documents; unusable rows of these go to `rejects`. Raises `BadInput` when it is not a
        BEIR folder, has no such split, has an unreadable row of judgements, or has no text."""
        beir = BeirFolder(self.folder, rejects)
        judged = BeirFolder(self.folder, Refusing()).judgements(self.split) if self.split else None
        documents = {document for grades in judged.values() for document in grades} if judged is not None else None
        texts = chain(
            (query.text for query in beir.queries() if judged is None or query.id in judged),
            (document.passage for document in beir.documents() if documents is None or document.id in documents),
        )
        first = next(texts, None)
        if first is None:
            raise BadInput(f"{self.name}: has no query and no document with a text, so nothing can be held against it.")
        yield from chain([first], texts)


class Decontamination:
    """Drops a record whose query or passage overlaps with an evaluation set. Created by `decontamination`.

    With `least` 0 one common run is enough. Sources that repeat the same paragraphs on every page need more: a text
    then overlaps when at least that share of its runs is common.
    """

    name = "decontamination"

    def __init__(
        self,
        indexes: Sequence[tuple[str, RunIndex]],
        size: int,
        least: float = 0.0,
        notes: Sequence[str] = (),
    ) -> None:
        """`notes` are sentences on rows and texts of the evaluation sets that could not be compared."""
        self.notes = tuple(notes)
        self._indexes = tuple(indexes)
        self._size = size
        self._least = least

    def reason(self, record: Record) -> str | None:
        for where, text in (("query", record.query), ("passage", record.passage)):
            runs = word_runs(text, self._size)
            for name, index in self._indexes:
                share = index.share(runs)
                if share > 0.0 and share >= self._least:
                    return f"{where} overlaps with {name}"
        return None


@contextmanager
def decontamination(
    sets: Sequence[EvaluationSet],
    *,
    size: int = WORDS,
    common: int = COMMON,
    least: float = 0.0,
    folder: Path | None = None,
) -> Iterator[Decontamination]:
    """The filter against `sets`; its index is kept in its own folder under `folder` until the block ends."""
    with TemporaryDirectory(prefix=".limrank-overlap-", dir=folder) as place:
        indexes, notes = [], list[str]()
        for number, evaluation in enumerate(sets):
            own = Path(place) / str(number)
            own.mkdir()
            texts = _Texts(evaluation)
            indexes.append((evaluation.name, build_run_index(texts, size, common, own)))
            notes += texts.notes()
        yield Decontamination(indexes, size, least, notes)


class _Texts:
    """The texts of an evaluation set; counts the rows and texts that cannot be compared."""

    def __init__(self, evaluation: EvaluationSet) -> None:
        self._evaluation = evaluation
        self._rejects = Listed()
        self._without_words = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._evaluation.texts(self._rejects):
            self._without_words += not words(text)
            yield text

    def notes(self) -> Iterator[str]:
        """Sentences on rejected rows and on texts without words, after the texts have been read."""
        if self._rejects.count:
            yield (
                f"{self._evaluation.name}: {self._rejects.count} rows could not be used, so nothing is compared with "
                f"them ({'; '.join(self._rejects.sentences)})"
            )
        if self._without_words:
            yield f"{self._evaluation.name}: {self._without_words} texts hold no word that could be compared"
