"""Pointwise records of one question: its answer, what BM25 confuses with it, and, for a share, records with an
instruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from contract.records import Difficulty, Intent, NegativeType, Record
from recipes.limrank_mini.medquad.aspects import Aspect
from recipes.limrank_mini.medquad.candidates import Candidate, Candidates
from recipes.limrank_mini.medquad.instructions import INSTRUCTIONS, OTHER_ASPECT, Instruction
from recipes.limrank_mini.medquad.questions import Answer
from recipes.limrank_mini.medquad.relation import Relation, same_focus
from recipes.limrank_mini.medquad.traces import answering, other_type, passing, wrong_focus
from synth.run.draws import choose, draw

SOURCE = "medquad"
LICENCE = "CC-BY-4.0"
DOMAIN = "healthcare"


class RecordShares(BaseModel):
    """records of each question (medquad)"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wrong_type: int = Field(default=2, ge=0, description="most passages on the right focus, silent on what is asked")
    passing: int = Field(default=1, ge=0, description="most passages on the right focus that merely mention it")
    other_type: int = Field(
        default=1, ge=0, description="most passages labelled with another question type that may say much of it"
    )
    wrong_focus: int = Field(default=1, ge=0, description="most passages on another focus")
    instruction_share: float = Field(
        default=0.4, ge=0, le=1, description="share of the questions that also give a pair under an instruction"
    )
    direct_share: float = Field(
        default=0.5, ge=0, le=1, description="share of the records without a trace, which train direct mode"
    )


def question_records(found: Candidates, shares: RecordShares) -> Iterator[Record]:
    """The records of one question: plain ones first, then those with an instruction.

    A passage on another aspect that mentions the one asked for is not an answer in MedQuAD, and its trace claims no
    more than that. Draws are seeded by ids, so that a record stays the same whatever else there is.
    """
    for record in _plain(found, shares):
        yield _for_a_mode(record, shares)
    if draw(found.question.id, "instruction") < shares.instruction_share:
        for record in _instructed(found):
            yield _for_a_mode(record, shares)


def _for_a_mode(record: Record, shares: RecordShares) -> Record:
    return replace(record, trace=None) if draw(record.id, "direct") < shares.direct_share else record


def _plain(found: Candidates, shares: RecordShares) -> Iterator[Record]:
    question = found.question
    place = int(draw(question.id, "positive") * len(found.positives))
    answer = found.positives[place][1]
    intent = Intent.INDIRECT if answer.only_links else Intent.DIRECT
    yield replace(_record(found, answer, "plain", answering(question, answer)), intent=intent)
    for candidate in found.of(Relation.RIGHT_FOCUS_WRONG_TYPE)[: shares.wrong_type]:
        trace = other_type(question, candidate.answer)
        yield _negative(found, candidate, trace, NegativeType.SAME_TOPIC_OTHER_INTENT)
    for candidate in found.of(Relation.RIGHT_FOCUS_PASSING)[: shares.passing]:
        trace = passing(question, candidate.answer)
        yield _negative(found, candidate, trace, NegativeType.PARTIAL)
    for candidate in found.of(Relation.OTHER_TYPE)[: shares.other_type]:
        trace = other_type(question, candidate.answer)
        yield _negative(found, candidate, trace, NegativeType.PARTIAL)
    for candidate in _on_another_focus(found)[: shares.wrong_focus]:
        trace = wrong_focus(question, candidate.answer)
        same = candidate.answer.aspect == question.aspect
        yield _negative(found, candidate, trace, NegativeType.WRONG_ENTITY if same else candidate.found_by)


def _on_another_focus(found: Candidates) -> list[Candidate]:
    """Mostly the same question about another subject; for one question in five something more distant."""
    near, far = found.of(Relation.WRONG_FOCUS_RIGHT_TYPE), found.of(Relation.WRONG_BOTH)
    return far + near if draw(found.question.id, "far") < 0.2 else near + far


def _instructed(found: Candidates) -> Iterator[Record]:
    """One relevant and one irrelevant passage under one instruction: the first, in seeded order, that has both."""
    for instruction in sorted(INSTRUCTIONS, key=lambda one: draw(found.question.id, one.name)):
        pair = _pair(found, instruction)
        if pair:
            yield from pair
            return


def _pair(found: Candidates, instruction: Instruction) -> list[Record]:
    aspect = _aspect_for(found, instruction)
    if aspect is None:
        return []
    pool = _pool(found, instruction)
    picked: dict[bool, Answer] = {}
    for answer in pool:
        counts = instruction.counts(found.question, answer, aspect)
        if counts is not None:
            picked.setdefault(counts, answer)
    if len(picked) < 2 and not instruction.alone:
        return []
    return [_instructed_record(found, answer, instruction, aspect, counts) for counts, answer in picked.items()]


def _pool(found: Candidates, instruction: Instruction) -> list[Answer]:
    """Passages in the order in which to try them: those whose relevance the instruction reverses come first."""
    answers = [answer for _, answer in found.positives]
    same = [c.answer for c in found.of(Relation.RIGHT_FOCUS_PASSING) + found.of(Relation.RIGHT_FOCUS_WRONG_TYPE)]
    other = [c.answer for c in found.of(Relation.WRONG_FOCUS_RIGHT_TYPE) + found.of(Relation.WRONG_BOTH)]
    if instruction is OTHER_ASPECT:
        return answers + same + other
    return same + other + answers if draw(found.question.id, "turned") < 0.7 else answers + other + same


def _aspect_for(found: Candidates, instruction: Instruction) -> Aspect | None:
    """The aspect of an instruction: the question's own, or for `other-aspect` one that a candidate treats."""
    if instruction is not OTHER_ASPECT:
        return found.question.aspect
    others = [c.answer.aspect for c in found.of(Relation.RIGHT_FOCUS_WRONG_TYPE)]
    return choose(others, found.question.id, "aspect") if others else None


def _instructed_record(
    found: Candidates, answer: Answer, instruction: Instruction, aspect: Aspect, relevant: bool
) -> Record:
    record = replace(
        _record(found, answer, instruction.name, instruction.trace(found.question, answer, aspect, relevant)),
        instruction=instruction.text(found.question, aspect, f"{found.question.id}/{instruction.name}"),
        relevant=relevant,
        intent=instruction.intent,
        difficulty=Difficulty.INSTRUCTION,
    )
    return record if relevant else replace(record, negative_type=_instructed_type(found, answer))


def _instructed_type(found: Candidates, answer: Answer) -> NegativeType:
    same = same_focus(found.question, answer)
    return NegativeType.SAME_TOPIC_OTHER_INTENT if same else NegativeType.WRONG_ENTITY


def _negative(found: Candidates, candidate: Candidate, trace: str, negative_type: NegativeType) -> Record:
    record = _record(found, candidate.answer, "plain", trace)
    return replace(record, relevant=False, negative_type=negative_type)


def _record(found: Candidates, answer: Answer, kind: str, trace: str) -> Record:
    return Record(
        id=f"{SOURCE}/{found.question.id}/{answer.id}/{kind}",
        query=found.question.text,
        passage=answer.text,
        relevant=True,
        trace=trace,
        source=SOURCE,
        licence=LICENCE,
        domain=DOMAIN,
        difficulty=Difficulty.DIRECT,
        intent=Intent.DIRECT,
    )
