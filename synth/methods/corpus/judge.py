"""The LLM classifier: a score for one (query, candidate) pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from llm.base import Reply
from llm.replies import Answer, Text, read_answer
from synth.llm.stage import Role, Stage, data
from synth.llm.template import load_template
from synth.llm.traces import read_trace


@dataclass(frozen=True, slots=True)
class PairRow:
    query: str
    passage: str


class Score(Answer):
    """`score`: 0 has nothing to do with the query, 10 answers it fully."""

    reasoning: Text
    score: int = Field(ge=0, le=10)


def judge_stage(templates: Path | None = None) -> Stage[PairRow, Score]:
    """Raises `BadSettings` for an unsuitable template."""
    template = load_template("corpus_judge", ("query", "passage"), templates)
    return Stage("corpus.judge", Role.JUDGE, template, Score, _values, _read, usual_tokens=120)


def _values(row: PairRow) -> Mapping[str, str]:
    return {"query": data(row.query), "passage": data(row.passage)}


def _read(reply: Reply) -> Score:
    score = read_answer(reply, Score)
    return score.model_copy(update={"reasoning": read_trace(reply, score.reasoning)})
