"""Traces: what the query asks, what the passage is about, and the conclusion, in short true sentences.

There is one wording for each statement. With four wordings for the right conclusion and one for the wrong one, greedy
decoding picks the wrong one even when the model is sure of the right one; with one wording each sentence is decided at
one word (decision 9).
"""

from __future__ import annotations

from recipes.limrank_mini.medquad.aspects import Aspect
from recipes.limrank_mini.medquad.questions import Answer, Question, display
from recipes.limrank_mini.medquad.relation import same_focus

LONG = 32  # characters; a longer name is not repeated a third time

ANSWERS = "The subject is the same and so is the question, so the passage is relevant."
POINTS_TO_IT = "The subject is the same and the passage points to where the question is covered, so it is relevant."
OTHER_QUESTION = "The subject is the same but the question is another one, so the passage is not relevant."
TOUCHED = (
    "The subject is the same but the question is another one, which the passage only touches on, so it is not relevant."
)
QUESTION_IS_ANOTHER = "The question is another one, so the passage is not relevant."
OTHER_SUBJECT = "The subject is another one, so the passage is not relevant."
OTHER_BOTH = "The subject is another one and so is the question, so the passage is not relevant."


def asked(question: Question) -> str:
    """The opening: what the query asks."""
    return f"The query asks about {said_of(question.aspect, display(question.focus))}."


def told(answer: Answer, question: Question) -> str:
    """What the passage is about, in the question's spelling of the focus when both name the same."""
    focus = display(question.focus if same_focus(question, answer) else answer.focus)
    if answer.only_links:
        return f"The passage lists resources on the diagnosis or management of {focus}."
    return f"The passage is about {said_of(answer.aspect, focus)}."


def short(focus: str) -> str:
    """A focus as named at the end of a trace."""
    shown = display(focus)
    return shown if len(shown) <= LONG else "this subject"


def said_of(aspect: Aspect, focus: str) -> str:
    """An aspect as a noun phrase: 'the treatment of asthma'."""
    return aspect.topic.format(x=focus)


def answering(question: Question, answer: Answer) -> str:
    """The trace of a passage that is judged to answer."""
    return _trace(question, answer, POINTS_TO_IT if answer.only_links else ANSWERS)


def passing(question: Question, answer: Answer) -> str:
    """The trace of a passage on the right focus that only mentions what is asked."""
    return _trace(question, answer, TOUCHED)


def other_type(question: Question, answer: Answer) -> str:
    """The trace of a passage on another aspect, whether or not it mentions the one asked for."""
    return _trace(question, answer, OTHER_QUESTION if same_focus(question, answer) else QUESTION_IS_ANOTHER)


def wrong_focus(question: Question, answer: Answer) -> str:
    """The trace of a passage on another focus."""
    return _trace(question, answer, OTHER_SUBJECT if answer.aspect == question.aspect else OTHER_BOTH)


def _trace(question: Question, answer: Answer, end: str) -> str:
    return " ".join((asked(question), told(answer, question), end))
