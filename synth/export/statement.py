"""The definition of relevance in words: the record's own instruction and, on request, the meaning of its intent."""

from __future__ import annotations

from contract.records import Intent, Record

INTENTS = {
    Intent.DIRECT: "Only a passage that answers the query itself counts as relevant.",
    Intent.INDIRECT: "A passage that helps towards an answer counts as relevant too.",
}


def instruction(record: Record, state_intent: bool) -> str | None:
    """The instruction to train with; `state_intent` appends a sentence on indirect relevance."""
    if not state_intent:
        return record.instruction
    return " ".join(filter(None, (record.instruction, INTENTS[record.intent])))
