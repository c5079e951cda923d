"""The coherence filter: compares a trace's conclusion, recognised by English phrases, with the label."""

from __future__ import annotations

import re

from contract.records import Record

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NOT = r"(?:not|n't|never|hardly|cannot)"
_VERDICT = r"\b(?:answer|verdict|conclusion|output|judge?ment|decision)\W+(?:\w+\W+){0,3}"
_AGAINST = re.compile(
    rf"\b(?:is|are|was|be|considered|deemed|seems?|appears?|marked|judged)?\s*{_NOT}\s+(?:\w+\s+){{0,3}}?relevant\b"
    r"|(?<!not )\b(?:irrelevant|non-relevant|unrelated|off-topic)\b"
    rf"|\b(?:does|do|did|would|can|could|will)?\s*{_NOT}\s+(?:\w+\s+){{0,3}}?"
    r"(?:answer|address|match|satisfy|meet|fulfil|fulfill|help|count)\w*\b"
    r"|\b(?:fails? to|without) (?:answer|address)\w*"
    r"|\b(?:no relevance|instead of answering|no answer|nothing that answers)\b"
    r"|\b(?:answers?|addresses|covers) (?:an?)?other (?:query|question|thing|one)\b"
    rf"|{_VERDICT}false\b",
    re.I,
)
_FOR = re.compile(
    r"\b(?:is|are|be|considered|deemed|seems?|appears?|marked|judged|counts? as)\s+(?:\w+\s+){0,2}?relevant\b"
    r"|\bnot irrelevant\b"
    r"|\brelevant to (?:the|this) (?:query|question)\b"
    r"|\b(?:answers|addresses|satisfies|matches|meets|fulfils|fulfills)\b"
    r"|\b(?:does|do|would|can|could|will) (?:\w+ly )?answer\b"
    rf"|{_VERDICT}true\b",
    re.I,
)


class Coherence:
    """Drops a record whose trace concludes against its label. `undecided` counts the traces without a recognised
    conclusion, which are kept unless `strict`."""

    name = "coherence"

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self.undecided = 0

    def reason(self, record: Record) -> str | None:
        if record.trace is None:
            return None
        concluded = conclusion(record.trace)
        if concluded is None:
            self.undecided += 1
            return "the trace comes to no conclusion" if self._strict else None
        if concluded == record.relevant:
            return None
        return (
            "the trace finds for the passage, the label against"
            if concluded
            else ("the trace finds against the passage, the label for")
        )


def conclusion(trace: str) -> bool | None:
    """The verdict of the last sentence with a conclusion: relevant, not relevant, or None when no sentence has one.

    Within a sentence the phrase that ends last decides ("on topic, but it does not answer the query").
    """
    for sentence in reversed(_SENTENCE.split(trace.replace("\u2019", "'"))):
        against = max((match.end() for match in _AGAINST.finditer(sentence)), default=-1)
        in_favour = max((match.end() for match in _in_favour(sentence)), default=-1)
        if max(against, in_favour) >= 0:
            return in_favour > against
    return None


def _in_favour(sentence: str) -> list[re.Match[str]]:
    """Favourable phrases that are not part of an unfavourable one ("relevant" in "not relevant")."""
    denied = [match.span() for match in _AGAINST.finditer(sentence)]
    return [m for m in _FOR.finditer(sentence) if not any(m.start() < end and start < m.end() for start, end in denied)]
