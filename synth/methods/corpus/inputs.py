"""The inputs of the corpus method: a corpus and examples as two JSONL files, or one split of a BEIR folder for both."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from retrieval.beir import BeirFolder, read_documents
from retrieval.id_files import read_ids
from retrieval.json_rows import read_rows
from retrieval.rejects import Refusing
from synth.errors import BadInput, BadSettings
from synth.methods.corpus.queries import Example
from synth.methods.corpus.settings import CorpusSettings

MOST_EXAMPLES = 10_000  # kept in memory
IdAndPassage = tuple[str, str]


class CorpusInputs(Protocol):
    """The inputs of a run. `files` are all files that are read. Unusable rows raise `BadInput` with their number."""

    @property
    def files(self) -> list[Path]: ...

    def documents(self) -> Iterator[IdAndPassage]: ...

    def examples(self) -> list[Example]: ...


def corpus_inputs(settings: CorpusSettings) -> CorpusInputs:
    """The inputs that the settings name. Raises `BadSettings` when they are incomplete."""
    if settings.documents is not None and settings.documents.is_dir():
        return _Folder(settings.documents, settings)
    if settings.documents is None or settings.examples is None:
        raise BadSettings("--method corpus needs --corpus.documents and --corpus.examples.")
    return _Files(settings.documents, settings.examples, settings.excluded)


def corpus_documents(path: Path, *, split: str, excluded: Path | None) -> Iterator[tuple[str, str]]:
    """Id and passage of the documents of a JSONL corpus, or of a BEIR folder without those that only other splits
    judge. Unusable rows raise `BadInput` with their number."""
    settings = CorpusSettings(documents=path, split=split, excluded=excluded)
    inputs = _Folder(path, settings) if path.is_dir() else _Files(path, None, excluded)
    yield from inputs.documents()


class _Files:
    def __init__(self, corpus: Path, examples: Path | None, excluded: Path | None) -> None:
        self._corpus = corpus
        self._examples = examples
        self._excluded = read_ids(excluded)
        self.files = [path for path in (corpus, examples, excluded) if path is not None]

    def documents(self) -> Iterator[IdAndPassage]:
        for document in read_documents(self._corpus, Refusing()):
            if document.id not in self._excluded:
                yield document.id, document.passage

    def examples(self) -> list[Example]:
        return [] if self._examples is None else examples_in(self._examples)


class _Folder:
    """A BEIR folder without excluded documents and those that only other splits judge. The examples are the split's own
    questions, each with its first answering document."""

    def __init__(self, folder: Path, settings: CorpusSettings) -> None:
        self._beir = BeirFolder(folder, Refusing())
        self._own = settings.examples
        self._judged = self._beir.judgements(settings.split)
        here = {document for grades in self._judged.values() for document in grades}
        elsewhere = {
            judgement.document
            for split in self._beir.splits()
            if split != settings.split
            for judgement in self._beir.judgement_rows(split)
        }
        self._excluded = read_ids(settings.excluded)
        self._barred = self._excluded | (elsewhere - here)
        self.files = [folder / "corpus.jsonl", folder / "queries.jsonl", *sorted((folder / "qrels").glob("*.tsv"))]
        self.files += [path for path in (settings.examples, settings.excluded) if path is not None]

    def documents(self) -> Iterator[IdAndPassage]:
        for document in self._beir.documents():
            if document.id not in self._barred:
                yield document.id, document.passage

    def examples(self) -> list[Example]:
        if self._own is not None:
            return examples_in(self._own)
        return list(islice(self._of_the_split(), MOST_EXAMPLES))

    def _of_the_split(self) -> Iterator[Example]:
        queries = {query.id: query.text for query in self._beir.queries() if query.id in self._judged}
        answers = {name: self._answer(self._judged[name]) for name in queries}
        wanted = {answer for answer in answers.values() if answer is not None}
        passages = {document.id: document.passage for document in self._beir.documents() if document.id in wanted}
        for name, text in queries.items():
            answer = answers[name]
            if answer in passages:
                yield Example(text, passages[answer])

    def _answer(self, grades: dict[str, int]) -> str | None:
        """The first answering document; None when an excluded one answers, because the question is then excluded
        too."""
        relevant = [document for document, grade in grades.items() if grade > 0]
        return relevant[0] if relevant and not self._excluded & set(relevant) else None


def examples_in(path: Path) -> list[Example]:
    """The examples of a JSONL file. Raises `BadInput` for a row that is not an example, and for a file without one."""
    examples = []
    for row in read_rows(path):
        value = row.value or {}
        query, document = value.get("query"), value.get("document")
        if row.problem or not isinstance(query, str) or not query.strip() or not isinstance(document, str | None):
            problem = row.problem or f'{value!r} is no example; each row is {{"query": text, "document": text}}.'
            raise BadInput(f"{path}, row {row.number}: {problem}")
        examples.append(Example(query.strip(), (document or "").strip() or None))
        if len(examples) == MOST_EXAMPLES:
            break
    if not examples:
        raise BadInput(f"{path}: holds no row; give some queries in the voice of the domain.")
    return examples
