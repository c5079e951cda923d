"""Instructions that change what counts as relevant: who reads only the query gets them wrong.

Each kind of instruction says for a passage, seen from a question, whether it counts (`counts` gives None where that
cannot be vouched for), and writes the part of the trace that applies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contract.records import Intent
from synth.medquad.aspects import Aspect
from synth.medquad.questions import Answer, Question, display
from synth.medquad.relation import Standing, other_focus, same_focus, standing
from synth.medquad.traces import asked, said_of, short, told
from synth.medquad.wording import choose


@dataclass(frozen=True, slots=True)
class Instruction:
    """`wordings`, `met` and `missed` are phrasings with `{x}` (the focus) and `{topic}` (the aspect) left open."""

    name: str
    intent: Intent
    wordings: tuple[str, ...]
    met: tuple[str, ...]
    missed: tuple[str, ...]
    counts: Callable[[Question, Answer, Aspect], bool | None]
    alone: bool = False  # whether one record, relevant or not, makes sense without its counterpart

    def text(self, question: Question, aspect: Aspect, key: str) -> str:
        """The instruction as it is given with the query."""
        return self._filled(self.wordings, display(question.focus), aspect, key, "wording")

    def trace(self, question: Question, answer: Answer, aspect: Aspect, key: str, relevant: bool) -> str:
        """What is asked, what the passage answers, and what the instruction makes of it."""
        endings = self.met if relevant else self.missed
        end = self._filled(endings, short(question.focus), aspect, key, "end")
        return " ".join((asked(question, key), told(answer, key, question), end))

    @staticmethod
    def _filled(options: tuple[str, ...], focus: str, aspect: Aspect, key: str, what: str) -> str:
        return choose(options, key, what).format(x=focus, topic=said_of(aspect, focus))


def _about(question: Question, answer: Answer) -> bool | None:
    """Whether the passage is about the question's focus; None where neither can be vouched for."""
    if not answer.borne_out:
        return None
    if same_focus(question, answer):
        return True
    return False if other_focus(question, answer) else None


def _any_aspect(question: Question, answer: Answer, _: Aspect) -> bool | None:
    return _about(question, answer)


def _dedicated(question: Question, answer: Answer, aspect: Aspect) -> bool | None:
    about = _about(question, answer)
    if not about:
        return about
    if answer.aspect == aspect:
        return _says_it(answer)
    return None if standing(answer, aspect) is Standing.UNCLEAR else False


def _mention(question: Question, answer: Answer, aspect: Aspect) -> bool | None:
    about = _about(question, answer)
    if not about:
        return about
    if answer.aspect == aspect:
        return _says_it(answer)
    return {Standing.SILENT: False, Standing.PASSING: True, Standing.UNCLEAR: None}[standing(answer, aspect)]


def _other_subjects(question: Question, answer: Answer, aspect: Aspect) -> bool | None:
    if _about(question, answer) is None:
        return None
    if answer.aspect == aspect:
        return _says_it(answer)
    return False if standing(answer, aspect) is Standing.SILENT else None


def _says_it(answer: Answer) -> bool | None:
    """A list of links is on its aspect and yet says nothing: neither reading can be vouched for."""
    return None if answer.only_links else True


def _no_link_lists(question: Question, answer: Answer, aspect: Aspect) -> bool | None:
    """Only treatment pages come as mere lists of resources, so elsewhere the instruction would mean nothing."""
    if aspect.name != "treatment" or answer.aspect != aspect or not _about(question, answer):
        return None
    return not answer.only_links


ANY_ASPECT = Instruction(
    "any-aspect",
    Intent.INDIRECT,
    (
        "Any passage about {x} counts as relevant, whatever aspect of it the passage covers.",
        "A passage is relevant if it is about {x}, even when it does not answer the question itself.",
        "Collect everything on {x}; the question asked is only the starting point.",
    ),
    (
        "The instruction accepts any passage about {x}, so it is relevant.",
        "By the instruction, being about {x} is enough, so the passage is relevant.",
    ),
    (
        "The instruction wants passages about {x}, and this one is about something else, so it is not relevant.",
        "By the instruction the subject must be {x}, which it is not, so the passage is not relevant.",
    ),
    _any_aspect,
)
DEDICATED = Instruction(
    "dedicated",
    Intent.DIRECT,
    (
        "Only a passage that is mainly about what the query asks is relevant; a passing remark is not enough.",
        "Relevant passages are devoted to the question; those that only touch on it do not count.",
        "Leave out passages that mention {topic} only in passing.",
    ),
    (
        "The instruction wants a passage devoted to that question, and this one is, so it is relevant.",
        "It is devoted to what was asked, as the instruction demands, so the passage is relevant.",
    ),
    (
        "The instruction wants a passage devoted to {topic}, and this one is not, so it is not relevant.",
        "It is not mainly about {topic}, as the instruction demands, so the passage is not relevant.",
    ),
    _dedicated,
)
MENTION = Instruction(
    "mention",
    Intent.INDIRECT,
    (
        "A passage counts as relevant if it says anything on what the query asks, even in passing.",
        "Accept every passage in which something is said about {topic}, however briefly.",
        "A single remark that bears on the question makes a passage relevant.",
    ),
    (
        "Something on {topic} is said in it, and the instruction accepts even a remark, so it is relevant.",
        "The instruction asks for no more than a remark on {topic}, and there is one, so the passage is relevant.",
    ),
    (
        "The instruction accepts even a remark on {topic}, but there is none, so it is not relevant.",
        "Not even a remark on {topic} is in it, so the passage is not relevant by the instruction.",
    ),
    _mention,
)
OTHER_ASPECT = Instruction(
    "other-aspect",
    Intent.DIRECT,
    (
        "Whatever the query asks, only passages about {topic} are relevant.",
        "The query's question does not matter here: relevant passages are about {topic}.",
        "Count as relevant only the passages that deal with {topic}, not those that answer the query as asked.",
    ),
    (
        "The instruction wants {topic}, whatever the query asks, and that is what it treats, so it is relevant.",
        "The instruction puts {topic} in place of the question, and the passage is about it, so it is relevant.",
    ),
    (
        "The instruction wants {topic}, whatever the query asks, and it does not treat that, so it is not relevant.",
        "The instruction puts {topic} in place of the question, and this is not about it, so it is not relevant.",
    ),
    _dedicated,
)
OTHER_SUBJECTS = Instruction(
    "other-subjects",
    Intent.INDIRECT,
    (
        "Passages that answer the same kind of question about another subject are relevant too.",
        "The subject does not matter, only the kind of question: the same question about anything else counts.",
        "Any passage that answers this kind of question is relevant, whatever it is about.",
    ),
    (
        "The instruction looks only at the kind of question, and it answers that kind, so it is relevant.",
        "By the instruction the subject may be any, and the kind of question matches, so the passage is relevant.",
    ),
    (
        "The instruction looks only at the kind of question, and it answers another kind, so it is not relevant.",
        "By the instruction the kind of question must match, and it does not, so the passage is not relevant.",
    ),
    _other_subjects,
)
NO_LINK_LISTS = Instruction(
    "no-link-lists",
    Intent.DIRECT,
    (
        "Passages that only list links or resources are not relevant; the passage itself must say something.",
        "Leave out lists of resources: relevant passages give the information themselves.",
    ),
    (
        "It gives the information itself, as the instruction demands, so the passage is relevant.",
        "The instruction rules out mere lists of resources, and this is none, so it is relevant.",
    ),
    (
        "The instruction rules out mere lists of resources, and this is one, so it is not relevant.",
        "It says nothing itself and only points elsewhere, which the instruction rules out, so it is not relevant.",
    ),
    _no_link_lists,
    alone=True,
)

INSTRUCTIONS = (ANY_ASPECT, DEDICATED, MENTION, OTHER_ASPECT, OTHER_SUBJECTS, NO_LINK_LISTS)
