"""The questions and answers of a MedQuAD folder that may be used for training, with their labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recipes.limrank_mini.medquad.aspects import ASPECTS, Aspect
from retrieval.beir import BeirFolder, Document, Query
from retrieval.rejects import Rejects
from synth.errors import BadInput

_WORD = re.compile(r"[a-z0-9]+")
_QUESTION = re.compile(r"[^.!?]*\?")
_ONTOLOGY = re.compile(r"The Human Phenotype Ontology \(HPO\) has collected information.{0,1200}?be rare or common\.")
OPENING = 400  # characters
SHORTEST_ANSWER = 6  # words; a shorter answer is a heading or a fragment


@dataclass(frozen=True, slots=True)
class Answer:
    """A document: `text` is what the reranker reads; `focus` and `aspect` are its labels.

    `said` is the text without parts that may contain an aspect's words but say nothing about it: the focus's name
    ("rheumatic fever"), questions ("Is genetic testing available?", which some pages of GARD leave unanswered), and the
    paragraph on the Human Phenotype Ontology that ends every list of symptoms there.
    """

    id: str
    text: str
    focus: str
    aspect: Aspect
    concepts: frozenset[str]
    words: str = field(init=False)  # of the text, cached because every question is compared with it
    said: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", words(self.text))
        unnamed = re.sub(re.escape(self.focus), "", self.text, flags=re.I)
        object.__setattr__(self, "said", _QUESTION.sub(" ", _ONTOLOGY.sub(" ", unnamed)))

    @property
    def only_links(self) -> bool:
        """Whether it only names places to look, as every treatment page of GHR does."""
        return "resources address the diagnosis or management of" in self.text[:300]

    @property
    def borne_out(self) -> bool:
        """Whether its words confirm its labelled aspect; a general description must begin with one."""
        shown = self.said[:OPENING] if self.aspect.name == "information" else self.said
        return len(self.said.split()) >= SHORTEST_ANSWER and bool(self.aspect.hint.search(shown))


@dataclass(frozen=True, slots=True)
class Question:
    """A query with its labels and the indices, in `Questions.answers`, of the documents judged to answer it."""

    id: str
    text: str
    focus: str
    aspect: Aspect
    concepts: frozenset[str]
    answered_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Questions:
    """One split, and what was left out of it: reason -> count."""

    questions: tuple[Question, ...]
    answers: tuple[Answer, ...]
    left_out: Mapping[str, int]


def read_questions(folder: Path, split: str, excluded: frozenset[str], rejects: Rejects) -> Questions:
    """The questions of a split that no excluded document answers, and the documents judged in that split.

    Raises `BadInput` when the folder has no such split or its rows have no labels.
    """
    beir = BeirFolder(folder, rejects)
    judgements = beir.judgements(split)
    in_split = {document for grades in judgements.values() for document in grades}
    left_out: Counter[str] = Counter()
    answers = []
    for document in beir.documents():
        if document.id in in_split and document.id not in excluded:
            answers.append(_answer(folder, document))
    places = {answer.id: place for place, answer in enumerate(answers)}
    questions = []
    for query in beir.queries():
        if query.id not in judgements:
            continue
        judged = [document for document, grade in judgements[query.id].items() if grade > 0]
        if any(document in excluded for document in judged):
            left_out["question answered by an excluded document"] += 1
            continue
        question = _question(
            folder, query, tuple(places[document] for document in judged if document in places), answers
        )
        if not _usual(question):
            left_out["question not in one of MedQuAD's usual forms"] += 1
            continue
        questions.append(question)
    left_out["document excluded"] = len(in_split & excluded)
    return Questions(tuple(questions), tuple(answers), left_out)


def display(focus: str) -> str:
    """A focus as used in a sentence: without the series that a page belongs to and without its other names."""
    shown = re.sub(r"^(?:What I need to know about|Parasites -|Your Guide to)\s+", "", focus.strip(), flags=re.I)
    shown = re.sub(r"\s*\((?:also known as|also called)[^)]*\)?", "", shown, flags=re.I)
    return shown.strip(" .?:;-") or focus


def words(text: str) -> str:
    """The words of a text in lower case, separated by one space: the form in which names are compared."""
    return " ".join(_WORD.findall(text.casefold().replace("'s", "s")))


def _usual(question: Question) -> bool:
    asked = question.text.casefold()
    return question.focus.casefold() in asked and not asked.startswith(_UNUSUAL)


_UNUSUAL = ("what is the history of hps", "what is the government", "how is hps", "how can hps", "what can i do to")


def _answer(folder: Path, document: Document) -> Answer:
    concepts = frozenset(str(concept) for concept in document.metadata.get("cui") or ())
    aspect = _aspect(folder, document.id, document.metadata)
    return Answer(document.id, document.passage, document.title, aspect, concepts)


def _question(folder: Path, query: Query, answered_by: tuple[int, ...], answers: list[Answer]) -> Question:
    aspect = _aspect(folder, query.id, query.metadata)
    concepts = frozenset(concept for place in answered_by for concept in answers[place].concepts)
    return Question(query.id, query.text, str(query.metadata.get("focus") or ""), aspect, concepts, answered_by)


def _aspect(folder: Path, row_id: str, metadata: Mapping[str, object]) -> Aspect:
    name = metadata.get("qtype")
    if not isinstance(name, str) or name not in ASPECTS:
        raise BadInput(f"{folder}: '{row_id}' has the question type {name!r}; it must be one of {', '.join(ASPECTS)}.")
    return ASPECTS[name]
