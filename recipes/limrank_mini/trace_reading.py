"""Strict reading of a trace on a MedQuAD pair: the names of query and passage, their question types, and the
conclusion.

A trace states what is asked, then what the passage says, then the conclusion; the words "The passage" separate the
first two parts. A question type counts as named when its words, and those of no other type, occur in the part once the
focus is removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TYPES = {
    "information": r"nature of|explanation of|general description|basic information|in general|overview of",
    "symptoms": r"symptom",
    "treatment": r"\btreat|diagnosis or management",
    "inheritance": r"\binherit",
    "frequency": r"how many people|how often|frequency",
    "genetic changes": r"genetic changes|genetics of",
    "causes": r"\bcauses?\b",
    "exams and tests": r"diagnose|diagnosing|diagnosis of|tests that",
    "research": r"\bresearch|\bstudies of",
    "outlook": r"outlook|prognosis",
    "susceptibility": r"at risk|likely to get|who may get|risk of getting",
    "prevention": r"\bprevent",
    "considerations": r"what to do about|practical points|to deal with|points to remember|what to know|advice about",
    "stages": r"\bstages?\b|\bstaging\b",
    "complications": r"\bcomplications?\b",
}
_TYPES = {name: re.compile(pattern, re.I) for name, pattern in TYPES.items()}
_NOT = re.compile(r"not relevant|does not (?:really )?answer", re.I)
_YES = re.compile(r"is relevant|answers the query", re.I)
_WORD = re.compile(r"[a-z0-9]+")
_SERIES = re.compile(r"^(?:What I need to know about|Parasites -|Your Guide to)\s+", re.I)
_ALSO = re.compile(r"\s*\((?:also known as|also called)[^)]*\)?", re.I)


@dataclass(frozen=True, slots=True)
class Label:
    """A known label: the focus of a question or passage, and which of `TYPES` it asks for or answers."""

    focus: str
    question_type: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Which of the four named things are right, and the trace's conclusion (None: neither, or both)."""

    query_focus: bool
    query_type: bool
    passage_focus: bool
    passage_type: bool
    relevant: bool | None

    @property
    def all_right(self) -> bool:
        return self.query_focus and self.query_type and self.passage_focus and self.passage_type


def read_trace(trace: str, query: Label, passage: Label) -> Reading:
    """Compares a trace with the known labels of its query and passage."""
    query_part, _, passage_part = trace.partition("The passage")
    end = re.split(r"(?<=[.!?])\s+", passage_part.strip())[-1] if passage_part else trace
    passage_part = passage_part.removesuffix(end)
    return Reading(
        query_focus=_names(query_part, query.focus),
        query_type=_types(query_part, query.focus) == {query.question_type},
        passage_focus=_names(passage_part, passage.focus)
        or (_same(query.focus, passage.focus) and _names(passage_part, query.focus)),
        passage_type=_types(passage_part, passage.focus, query.focus) == {passage.question_type},
        relevant=conclusion(trace),
    )


def conclusion(trace: str) -> bool | None:
    """Whether the last sentences call the passage relevant; None when they say neither, or both."""
    _, _, passage_part = trace.partition("The passage")
    not_relevant, relevant = bool(_NOT.search(passage_part)), bool(_YES.search(_NOT.sub(" ", passage_part)))
    return relevant if relevant != not_relevant else None


def _names(part: str, focus: str) -> bool:
    words = f" {_words(part)} "
    return any(f" {_words(form)} " in words for form in _forms(focus) if _words(form))


def _types(part: str, *focuses: str) -> set[str]:
    for focus in focuses:
        for form in sorted(_forms(focus), key=len, reverse=True):
            part = re.sub(re.escape(form), "it", part, flags=re.I)
    return {name for name, pattern in _TYPES.items() if pattern.search(part)}


def _forms(focus: str) -> set[str]:
    """The forms of a focus in a sentence: whole, without its series, without its other names, without final
    punctuation."""
    short = _ALSO.sub("", _SERIES.sub("", focus.strip())).strip(" .?:;-")
    return {form for form in (focus.strip(), focus.strip(" .?:;-"), short) if form}


def _same(one: str, other: str) -> bool:
    return _words(one) == _words(other)


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold().replace("'s", "s")))
