"""Stage 3: a positive passage for each query, with the reasoning that makes it one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.records import Difficulty, Intent
from llm.base import Reply
from llm.replies import Answer, Text, read_answer
from synth.llm.stage import Role, Stage, data
from synth.llm.template import load_template

NEEDS = {
    Difficulty.DIRECT: "the answer is there, in other words than the query's.",
    Difficulty.MULTI_STEP: "the facts are there, and the conclusion is left to the reader.",
    Difficulty.INSTRUCTION: "every condition of what counts as relevant is met, and none is named as a condition.",
}
CLOSENESS = {
    Intent.DIRECT: "answers the query itself",
    Intent.INDIRECT: "does not answer the query outright, but gives the principle, background or analogy behind it",
}


@dataclass(frozen=True, slots=True)
class QueryRow:
    query: str
    relevance: str
    domain: str
    difficulty: Difficulty
    intent: Intent


class Passage(Answer):
    reasoning: Text
    passage: Text


def positive_stage(templates: Path | None = None) -> Stage[QueryRow, Passage]:
    """Raises `BadSettings` for an unsuitable template."""
    template = load_template("limrank_positive", ("query", "relevance", "domain", "closeness", "need"), templates)
    return Stage("limrank.positive", Role.GENERATOR, template, Passage, _values, read_passage, usual_tokens=350)


def read_passage(reply: Reply) -> Passage:
    return read_answer(reply, Passage)


def _values(row: QueryRow) -> Mapping[str, str]:
    return {
        "query": data(row.query),
        "relevance": data(row.relevance),
        "domain": row.domain,
        "closeness": CLOSENESS[row.intent],
        "need": NEEDS[row.difficulty],
    }
