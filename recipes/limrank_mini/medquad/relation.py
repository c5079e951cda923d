"""How a passage stands to a question, from the labels of both and the words of the passage."""

from __future__ import annotations

import re
from enum import Enum

from recipes.limrank_mini.medquad.aspects import Aspect
from recipes.limrank_mini.medquad.questions import Answer, Question, words

AKIN = (  # aspects of which a passage on the one may be an answer on the other, whatever it is labelled with
    {"causes", "genetic changes"},
    {"considerations", "treatment"},
    {"considerations", "prevention"},
    {"frequency", "susceptibility"},
)
PASSING_SHARE = 0.2  # of the sentences, at most, in a passage that only touches on an aspect
PASSING_SENTENCES = 3
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\s+-\s+")


class Standing(Enum):
    """What a passage says of an aspect it is not about."""

    SILENT = "says nothing of it"
    PASSING = "touches on it"
    UNCLEAR = "may well answer it"


class Relation(Enum):
    """A passage seen from a question; `UNCLEAR` ones are not used, for their label could not be vouched for."""

    RIGHT_FOCUS_WRONG_TYPE = "same focus, another aspect, and silent on the one asked for"
    RIGHT_FOCUS_PASSING = "same focus, another aspect, touching on the one asked for"
    OTHER_TYPE = "a focus that is or may be the same, labelled with another aspect, whatever its words"
    WRONG_FOCUS_RIGHT_TYPE = "another focus, the aspect asked for"
    WRONG_BOTH = "another focus, another aspect"
    UNCLEAR = "not to be told from the labels"


def standing(answer: Answer, aspect: Aspect) -> Standing:
    """What a passage says of `aspect`, by its words."""
    if not aspect.hint.search(answer.said):
        return Standing.SILENT
    sentences = [part for part in _SENTENCE.split(answer.said) if part]
    signs = sum(1 for part in sentences if aspect.sign.search(part))
    if not answer.only_links and 1 <= signs <= min(PASSING_SENTENCES, PASSING_SHARE * len(sentences)):
        return Standing.PASSING
    return Standing.UNCLEAR


def relation(question: Question, answer: Answer) -> Relation:
    """How a passage that is not judged to answer stands to the question."""
    if not answer.borne_out:
        return Relation.UNCLEAR
    if same_focus(question, answer):
        return _same_focus_relation(question, answer)
    if not other_focus(question, answer):
        return _other_type(question, answer)
    return Relation.WRONG_FOCUS_RIGHT_TYPE if answer.aspect == question.aspect else Relation.WRONG_BOTH


def _same_focus_relation(question: Question, answer: Answer) -> Relation:
    if answer.aspect == question.aspect:
        return Relation.UNCLEAR  # an answer from another source that nobody judged
    return {
        Standing.SILENT: Relation.RIGHT_FOCUS_WRONG_TYPE,
        Standing.PASSING: Relation.RIGHT_FOCUS_PASSING,
        Standing.UNCLEAR: _other_type(question, answer),
    }[standing(answer, question.aspect)]


def _other_type(question: Question, answer: Answer) -> Relation:
    """MedQuAD does not count such a passage, and its label tells of what it is: enough for what a trace says of it."""
    pair = {question.aspect.name, answer.aspect.name}
    return Relation.UNCLEAR if len(pair) == 1 or pair in AKIN else Relation.OTHER_TYPE


def same_focus(question: Question, answer: Answer) -> bool:
    """Whether both name the same thing in the same words. A shared concept is not enough: it holds subtypes as well."""
    return words(question.focus) == words(answer.focus)


def other_focus(question: Question, answer: Answer) -> bool:
    """Whether they are surely about different things: no concept shared, neither name within the other or the text."""
    asked, told = words(question.focus), words(answer.focus)
    if not question.concepts or not answer.concepts or question.concepts & answer.concepts:
        return False
    if set(asked.split()) <= set(told.split()) or set(told.split()) <= set(asked.split()):
        return False
    return asked not in answer.words and told not in words(question.text)
