"""Groups for LCE training of one question: its answer against hard negatives, those with the right focus and wrong type
first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from contract.records import Group
from recipes.limrank_mini.medquad.candidates import Candidate, Candidates
from recipes.limrank_mini.medquad.instructions import ANY_ASPECT, OTHER_ASPECT
from recipes.limrank_mini.medquad.records import DOMAIN, LICENCE, SOURCE
from recipes.limrank_mini.medquad.relation import Relation
from synth.run.draws import choose, draw

SHARES = (
    (Relation.RIGHT_FOCUS_WRONG_TYPE, 2),
    (Relation.OTHER_TYPE, 2),
    (Relation.RIGHT_FOCUS_PASSING, 1),
    (Relation.WRONG_FOCUS_RIGHT_TYPE, 2),
)
OTHERS = (Relation.WRONG_FOCUS_RIGHT_TYPE, Relation.WRONG_BOTH)


class GroupShares(BaseModel):
    """groups of each question (medquad)"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    negatives: int = Field(default=7, ge=1, description="negatives in each group; a question with fewer gives none")
    instruction_share: float = Field(
        default=0.2, ge=0, le=1, description="share of the questions that give one more group, under an instruction"
    )


def question_groups(found: Candidates, shares: GroupShares) -> Iterator[Group]:
    """The groups of one question: a plain one and, for a share, one with an instruction under which another passage
    answers."""
    negatives = _plain_negatives(found, shares.negatives)
    if len(negatives) == shares.negatives:
        yield _group(found, "plain", None, found.positives[0][1].text, [c.answer.text for c in negatives])
    if draw(found.question.id, "group instruction") < shares.instruction_share:
        turn = draw(found.question.id, "group kind") < 0.5
        yield from _other_aspect(found, shares.negatives) if turn else _any_aspect(found, shares.negatives)


def _plain_negatives(found: Candidates, count: int) -> list[Candidate]:
    picked: list[Candidate] = []
    for kind, share in SHARES:
        picked += found.of(kind)[:share]
    rest = [c for kind, share in SHARES for c in found.of(kind)[share:]] + found.of(Relation.WRONG_BOTH)
    return (picked + rest)[:count]


def _other_aspect(found: Candidates, count: int) -> Iterator[Group]:
    """The instruction asks for another aspect: the question's own answer becomes a negative."""
    same = found.of(Relation.RIGHT_FOCUS_WRONG_TYPE)
    if not same:
        return
    positive = choose(same, found.question.id, "group aspect").answer
    pool = [a for _, a in found.positives] + [c.answer for c in same] + [c.answer for k in OTHERS for c in found.of(k)]
    counts = [(a, OTHER_ASPECT.counts(found.question, a, positive.aspect)) for a in pool]
    negatives = [a.text for a, relevant in counts if relevant is False][:count]
    if len(negatives) == count:
        text = OTHER_ASPECT.text(found.question, positive.aspect, f"{found.question.id}/group")
        yield _group(found, OTHER_ASPECT.name, text, positive.text, negatives)


def _any_aspect(found: Candidates, count: int) -> Iterator[Group]:
    """The instruction takes any passage on the focus: one that does not answer becomes the positive."""
    same = found.of(Relation.RIGHT_FOCUS_WRONG_TYPE) + found.of(Relation.RIGHT_FOCUS_PASSING)
    negatives = [c.answer.text for k in OTHERS for c in found.of(k)][:count]
    if same and len(negatives) == count:
        text = ANY_ASPECT.text(found.question, found.question.aspect, f"{found.question.id}/group")
        yield _group(found, ANY_ASPECT.name, text, choose(same, found.question.id, "any").answer.text, negatives)


def _group(found: Candidates, kind: str, instruction: str | None, positive: str, negatives: Sequence[str]) -> Group:
    return Group(
        id=f"{SOURCE}/{found.question.id}/{kind}",
        query=found.question.text,
        instruction=instruction,
        positive=positive,
        negatives=tuple(negatives),
        source=SOURCE,
        licence=LICENCE,
        domain=DOMAIN,
    )
