"""Traces: what the query asks, what the passage answers, and what follows. Short sentences, all of them true."""

from __future__ import annotations

from synth.medquad.aspects import Aspect
from synth.medquad.questions import Answer, Question, display
from synth.medquad.relation import same_focus
from synth.medquad.wording import choose

LONG = 32  # characters: a longer name is not said a third time

OPENINGS = ("The query asks", "The question asks", "The user asks")
ANSWERS = (
    "That is what was asked, so the passage is relevant.",
    "So it answers the query.",
    "This is the information the query is looking for, so the passage is relevant.",
    "Both the subject and the question match, so the passage answers the query.",
)
POINTS_TO_IT = (
    "It points to where the management of {x} is covered, so the passage is relevant.",
    "Management is what the query is about, and the passage says where to find it, so it is relevant.",
)
NOT_SAID = (
    "It does not say {lacks}, so it does not answer the query.",
    "The subject is right but the question is another one: it does not say {lacks}. So it is not relevant.",
    "It says nothing on {topic}, so the passage is not relevant.",
    "Right subject, wrong question: nothing in it tells {lacks}. So it does not answer the query.",
)
TOUCHED = (
    "It only touches on {topic}, so it is not the passage the query is looking for and it is not relevant.",
    "There is a passing remark on {topic}, but the passage is about something else, so it is not relevant.",
    "What it says on {topic} is said in passing, so it does not really answer the query.",
)
OTHER_TOPIC = (
    "Its topic is not {topic}, so it is not the passage the query is looking for and it is not relevant.",
    "The query wants a passage on {topic} and this one is on another topic, so it is not relevant.",
    "Whatever else is said in it, {topic} is another topic than its own, so the passage is not relevant.",
)
OTHER_SUBJECT = (
    "The question is the same but the subject is not {x}, so the passage is not relevant.",
    "The subject is {y} instead of {x}, so it does not answer the query.",
    "It is about {y} and not about {x}, so the passage is not relevant.",
)
OTHER_SUBJECT_SHORT = (
    "The question is the same but the subject is another one, so the passage is not relevant.",
    "It is about another subject than the query, so it does not answer the query.",
)
OTHER_BOTH = (
    "Neither the subject nor the question matches, so the passage is not relevant.",
    "Another subject and another question, so it does not answer the query.",
)


def asked(question: Question, key: str) -> str:
    """The opening: what the query asks."""
    phrase = choose(question.aspect.asks, key, "asks").format(x=display(question.focus))
    return f"{choose(OPENINGS, key, 'opening')} {phrase}."


def told(answer: Answer, key: str, question: Question) -> str:
    """What the passage answers, with the question's spelling of the focus where both name the same."""
    focus = display(question.focus if same_focus(question, answer) else answer.focus)
    if answer.only_links:
        return f"The passage lists resources on the diagnosis or management of {focus}."
    return f"The passage {choose(answer.aspect.tells, key, 'tells').format(x=focus)}."


def short(focus: str) -> str:
    """A focus as the end of a trace names it."""
    shown = display(focus)
    return shown if len(shown) <= LONG else "this subject"


def said_of(aspect: Aspect, focus: str) -> str:
    """An aspect as a noun phrase: 'the treatment of asthma'."""
    return aspect.topic.format(x=focus)


def answering(question: Question, answer: Answer, key: str) -> str:
    """The trace of a passage that is judged to answer."""
    end = choose(POINTS_TO_IT if answer.only_links else ANSWERS, key, "end").format(x=short(question.focus))
    return " ".join((asked(question, key), told(answer, key, question), end))


def wrong_type(question: Question, answer: Answer, key: str) -> str:
    """The trace of a passage on the right focus that is silent on what is asked."""
    return _other_aspect(question, answer, key, NOT_SAID)


def passing(question: Question, answer: Answer, key: str) -> str:
    """The trace of a passage on the right focus that only touches on what is asked."""
    return _other_aspect(question, answer, key, TOUCHED)


def other_type(question: Question, answer: Answer, key: str) -> str:
    """The trace of a passage whose own topic is another one, however much it may say of the one asked for."""
    return _other_aspect(question, answer, key, OTHER_TOPIC)


def wrong_focus(question: Question, answer: Answer, key: str) -> str:
    """The trace of a passage on another focus."""
    end = choose(_other_subject_endings(question, answer), key, "end")
    end = end.format(x=display(question.focus), y=display(answer.focus))
    return " ".join((asked(question, key), told(answer, key, question), end))


def _other_subject_endings(question: Question, answer: Answer) -> tuple[str, ...]:
    if answer.aspect != question.aspect:
        return OTHER_BOTH
    too_long = max(len(display(question.focus)), len(display(answer.focus))) > LONG
    return OTHER_SUBJECT_SHORT if too_long else OTHER_SUBJECT


def _other_aspect(question: Question, answer: Answer, key: str, endings: tuple[str, ...]) -> str:
    focus = short(question.focus)
    end = choose(endings, key, "end").format(
        lacks=question.aspect.lacks.format(x=focus), topic=said_of(question.aspect, focus)
    )
    return " ".join((asked(question, key), told(answer, key, question), end))
