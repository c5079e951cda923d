"""Instructions that change what counts as relevant, so that a model that reads only the query gets them wrong.

Each kind of instruction decides whether a passage counts for a question (`counts`; None when that is uncertain), and
writes the part of the trace that applies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contract.records import Intent
from recipes.limrank_mini.medquad.aspects import Aspect
from recipes.limrank_mini.medquad.questions import Answer, Question, display
from recipes.limrank_mini.medquad.relation import Standing, other_focus, same_focus, standing
from recipes.limrank_mini.medquad.traces import asked, said_of, short, told
from synth.run.draws import choose


@dataclass(frozen=True, slots=True)
class Instruction:
    """`wordings`, `met` and `missed` are templates over `{x}` (the focus) and `{topic}` (the aspect). `met` says why a
    passage counts, `missed` why it does not."""

    name: str
    intent: Intent
    wordings: tuple[str, ...]
    met: str
    missed: str
    counts: Callable[[Question, Answer, Aspect], bool | None]
    alone: bool = False  # whether one record makes sense without its counterpart

    def text(self, question: Question, aspect: Aspect, key: str) -> str:
        """The instruction as given with the query."""
        return self._filled(choose(self.wordings, key, "wording"), display(question.focus), aspect)

    def trace(self, question: Question, answer: Answer, aspect: Aspect, relevant: bool) -> str:
        """The trace: what is asked, what the passage is about, and what follows under the instruction."""
        return " ".join((asked(question), told(answer, question), self.ending(question, aspect, relevant)))

    def ending(self, question: Question, aspect: Aspect, relevant: bool) -> str:
        """The last sentence of a trace."""
        why = self._filled(self.met if relevant else self.missed, short(question.focus), aspect)
        counts, so = ("counts", "it is relevant") if relevant else ("does not count", "it is not relevant")
        return f"By the instruction it {counts}, as {why}, so {so}."

    @staticmethod
    def _filled(wording: str, focus: str, aspect: Aspect) -> str:
        return wording.format(x=focus, topic=said_of(aspect, focus))


def _about(question: Question, answer: Answer) -> bool | None:
    """Whether the passage is about the question's focus; None when that is uncertain."""
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
    """A list of links is on its aspect but says nothing, so both answers are uncertain."""
    return None if answer.only_links else True


def _no_link_lists(question: Question, answer: Answer, aspect: Aspect) -> bool | None:
    """Only treatment pages occur as mere lists of resources; elsewhere the instruction would be pointless."""
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
    "it is about {x}",
    "it is not about {x}",
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
    "it is devoted to {topic}",
    "it is not devoted to {topic}",
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
    "it says something on {topic}",
    "it says nothing on {topic}",
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
    "it is about {topic}",
    "it is not about {topic}",
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
    "it answers that kind of question",
    "it answers another kind of question",
    _other_subjects,
)
NO_LINK_LISTS = Instruction(
    "no-link-lists",
    Intent.DIRECT,
    (
        "Passages that only list links or resources are not relevant; the passage itself must say something.",
        "Leave out lists of resources: relevant passages give the information themselves.",
    ),
    "it says something itself",
    "it only lists resources",
    _no_link_lists,
    alone=True,
)

INSTRUCTIONS = (ANY_ASPECT, DEDICATED, MENTION, OTHER_ASPECT, OTHER_SUBJECTS, NO_LINK_LISTS)
