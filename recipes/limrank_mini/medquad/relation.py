"""The relation of a passage to a question, from the labels of both and the words of the passage."""

from __future__ import annotations

import re
from enum import Enum

from recipes.limrank_mini.medquad.aspects import Aspect
from recipes.limrank_mini.medquad.questions import Answer, Question, words

AKIN = (  # related aspects: a passage on one may answer a question on the other, whatever its label
    {"causes", "genetic changes"},
    {"considerations", "treatment"},
    {"considerations", "prevention"},
    {"frequency", "susceptibility"},
)
PASSING_SHARE = 0.2  # largest share of sentences in a passage that merely mentions an aspect
PASSING_SENTENCES = 3
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\s+-\s+")


class Standing(Enum):
    """What a passage says about an aspect that is not its own."""

    SILENT = "says nothing of it"
    PASSING = "touches on it"
    UNCLEAR = "may well answer it"


class Relation(Enum):
    """The relation of a passage to a question; `UNCLEAR` ones are not used, because their label is uncertain."""

    RIGHT_FOCUS_WRONG_TYPE = "same focus, another aspect, and silent on the one asked for"
    RIGHT_FOCUS_PASSING = "same focus, another aspect, touching on the one asked for"
    OTHER_TYPE = "a focus that is or may be the same, labelled with another aspect, whatever its words"
    WRONG_FOCUS_RIGHT_TYPE = "another focus, the aspect asked for"
    WRONG_BOTH = "another focus, another aspect"
    UNCLEAR = "not to be told from the labels"


def standing(answer: Answer, aspect: Aspect) -> Standing:
    """What the words of a passage say about `aspect`."""
    if not aspect.hint.search(answer.said):
        return Standing.SILENT
    sentences = [part for part in _SENTENCE.split(answer.said) if part]
    signs = sum(1 for part in sentences if aspect.sign.search(part))
    if not answer.only_links and 1 <= signs <= min(PASSING_SENTENCES, PASSING_SHARE * len(sentences)):
        return Standing.PASSING
    return Standing.UNCLEAR


def relation(question: Question, answer: Answer) -> Relation:
    """The relation of a passage that is not judged to answer the question."""
    if not answer.borne_out:
        return Relation.UNCLEAR
    if same_focus(question, answer):
        return _same_focus_relation(question, answer)
    if not other_focus(question, answer):
        return _other_type(question, answer)
    return Relation.WRONG_FOCUS_RIGHT_TYPE if answer.aspect == question.aspect else Relation.WRONG_BOTH


def _same_focus_relation(question: Question, answer: Answer) -> Relation:
    if answer.aspect == question.aspect:
        return Relation.UNCLEAR  # an unjudged answer from another source
    return {
        Standing.SILENT: Relation.RIGHT_FOCUS_WRONG_TYPE,
        Standing.PASSING: Relation.RIGHT_FOCUS_PASSING,
        Standing.UNCLEAR: _other_type(question, answer),
    }[standing(answer, question.aspect)]


def _other_type(question: Question, answer: Answer) -> Relation:
    """MedQuAD does not count such a passage, and its label says what it is about, which suffices for the trace."""
    pair = {question.aspect.name, answer.aspect.name}
    return Relation.UNCLEAR if len(pair) == 1 or pair in AKIN else Relation.OTHER_TYPE


def same_focus(question: Question, answer: Answer) -> bool:
    """Whether both name the same thing in the same words. A shared concept is not enough: it includes subtypes."""
    return words(question.focus) == words(answer.focus)


def other_focus(question: Question, answer: Answer) -> bool:
    """Whether they are certainly about different things: no shared concept, neither name within the other or in the
    text."""
    question_focus, answer_focus = words(question.focus), words(answer.focus)
    if not question.concepts or not answer.concepts or question.concepts & answer.concepts:
        return False
    if set(question_focus.split()) <= set(answer_focus.split()) or set(answer_focus.split()) <= set(
        question_focus.split()
    ):
        return False
    return question_focus not in answer.words and answer_focus not in words(question.text)
