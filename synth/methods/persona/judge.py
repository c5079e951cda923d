"""Stage 5: the reasoning model judges one pair. It sees query and passage, but not the intended label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.records import Intent
from llm.base import Reply
from llm.replies import Answer, Text, read_answer
from synth.llm.stage import Role, Stage, data
from synth.llm.template import load_template
from synth.llm.traces import read_trace

INTENTS = {
    Intent.DIRECT: "Only a passage that answers the query itself is relevant; one that merely helps is not.",
    Intent.INDIRECT: (
        "A passage is also relevant where it does not answer the query outright but gives the principle, background or "
        "analogy that leads to the answer."
    ),
}


@dataclass(frozen=True, slots=True)
class PairRow:
    query: str
    instruction: str | None
    intent: Intent
    passage: str


class Judgement(Answer):
    reasoning: Text
    relevant: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """One blind vote. `trace` is the model's own reasoning if the endpoint returns it, otherwise its written
    explanation."""

    relevant: bool
    trace: str


def judge_stage(templates: Path | None = None) -> Stage[PairRow, Verdict]:
    """Raises `BadSettings` for an unsuitable template."""
    template = load_template("limrank_judge", ("query", "instruction", "passage", "intent"), templates)
    return Stage("limrank.judge", Role.JUDGE, template, Judgement, _values, _read, usual_tokens=500)


def _values(row: PairRow) -> Mapping[str, str]:
    return {
        "query": data(row.query),
        "instruction": data(row.instruction) if row.instruction else "nothing beyond the query itself",
        "passage": data(row.passage),
        "intent": INTENTS[row.intent],
    }


def _read(reply: Reply) -> Verdict:
    judgement = read_answer(reply, Judgement)
    return Verdict(judgement.relevant, read_trace(reply, judgement.reasoning))
