"""Stage 2: one seed query and one persona become a daily-life and an expert-domain query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.records import Difficulty
from llm.base import Reply
from llm.replies import Answer, Text, read_answer
from synth.llm.stage import Role, Stage, data
from synth.llm.template import load_template

NEEDS = {
    Difficulty.DIRECT: "one fact or explanation that a single passage states.",
    Difficulty.MULTI_STEP: "two or more facts put together, or an inference, which no single statement gives away.",
    Difficulty.INSTRUCTION: (
        "a particular kind of passage: the asker sets conditions (such as a place, a time, a group of people or a kind "
        'of evidence), and state them in "relevance" so exactly that someone else could decide by them.'
    ),
}


@dataclass(frozen=True, slots=True)
class SeedRow:
    """A seed query with its persona, and the intended difficulty of each of the two queries."""

    seed: str
    persona: str
    domain: str
    daily_life: Difficulty
    expert: Difficulty


class Query(Answer):
    """`relevance` defines what is relevant; a record carries it where the difficulty is instruction."""

    query: Text
    relevance: Text


class QueryPair(Answer):
    daily_life: Query
    expert: Query


def queries_stage(templates: Path | None = None) -> Stage[SeedRow, QueryPair]:
    """Raises `BadSettings` for an unsuitable template."""
    variables = ("seed", "persona", "domain", "daily_life_need", "expert_need")
    template = load_template("limrank_queries", variables, templates)
    return Stage("limrank.queries", Role.GENERATOR, template, QueryPair, _values, _read, usual_tokens=250)


def _values(row: SeedRow) -> Mapping[str, str]:
    return {
        "seed": data(row.seed),
        "persona": data(row.persona),
        "domain": row.domain,
        "daily_life_need": NEEDS[row.daily_life],
        "expert_need": NEEDS[row.expert],
    }


def _read(reply: Reply) -> QueryPair:
    return read_answer(reply, QueryPair)
