"""Stage 4: hard negatives for each query, each of one type, with the reasoning that makes it one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.records import NegativeType
from synth.llm.stage import Role, Stage, data
from synth.llm.template import load_template
from synth.methods.persona.passages import Passage, read_passage

FAILINGS = {
    NegativeType.SAME_TOPIC_OTHER_INTENT: (
        "it is on the very topic of the query and answers another question about it (how instead of why, causes "
        "instead of treatment, a definition instead of a decision)."
    ),
    NegativeType.WRONG_ENTITY: (
        "it gives the kind of answer that the query wants, for another person, place, product, law, condition or "
        "quantity."
    ),
    NegativeType.OUTDATED: (
        "it gives what was the answer once and, by dates or versions named in the passage, no longer holds."
    ),
    NegativeType.CONTRADICTING: (
        "it speaks of the query's subject under a premise that contradicts the query, so that it cannot be used."
    ),
    NegativeType.PARTIAL: (
        "it covers one part of what the query needs, in detail, and leaves out the part that decides."
    ),
}


@dataclass(frozen=True, slots=True)
class NegativeRow:
    query: str
    relevance: str
    domain: str
    positive: str
    kind: NegativeType


def negative_stage(templates: Path | None = None) -> Stage[NegativeRow, Passage]:
    """Raises `BadSettings` for an unsuitable template."""
    template = load_template("limrank_negative", ("query", "relevance", "domain", "positive", "failing"), templates)
    return Stage("limrank.negative", Role.GENERATOR, template, Passage, _values, read_passage, usual_tokens=350)


def _values(row: NegativeRow) -> Mapping[str, str]:
    return {
        "query": data(row.query),
        "relevance": data(row.relevance),
        "domain": row.domain,
        "positive": data(row.positive),
        "failing": FAILINGS[row.kind],
    }
