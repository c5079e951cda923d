"""Label leaks: phrases showing that a trace was written with the label known, or that a text was made to order.

A model that sees such words need not read the passage.
"""

from __future__ import annotations

import re

from contract.records import Record
from synth.llm.traces import DELIMITERS

_WE_ARE = r"\b(?:i|we) (?:was|were|am|are|have been)"
TRACE = (
    *map(re.escape, DELIMITERS),  # not leaks, but unusable for training too
    r"(?:given|intended|provided|expected|correct|true|gold|reference) labels?\b",
    r"\bthe label (?:is|was|says|said|given|must be|should be|tells)\b",
    r"\blabel(?:l?ed)? (?:as )?(?:true|false|relevant|irrelevant|positive|negative)\b",
    r"\bground[- ]truth\b",
    r"\b(?:gold|intended|provided) (?:answer|verdict|judg(?:e)?ment|relevance)\b",
    r"\bexpected (?:verdict|judg(?:e)?ment|relevance)\b",
    rf"{_WE_ARE} (?:told|given|informed) (?:that (?:it|this|the)|(?:it|this) (?:is|was))\b",
    rf"{_WE_ARE} (?:told|given|informed) the (?:label|answer|verdict)\b",
    rf"{_WE_ARE} (?:asked|instructed|told) to (?:justify|explain why|say|conclude)\b",
    r"\bsupposed to be (?:relevant|irrelevant|true|false|positive|negative)\b",
    r"\b(?:hard )?negative (?:passage|example|document|sample)\b",
    r"\bpositive (?:passage|example|document|sample)\b",
)
TEXT = (
    r"\bhard negatives?\b(?= (?:passage|example|document|sample|for))",
    r"\b(?:this|the following) passage (?:is|was|seems) (?:\w+ ){0,2}(?:relevant|irrelevant|related|unrelated)\b",
    r"\b(?:this|the) (?:passage|text|document) (?:does not|doesn't) (?:answer|address) the (?:query|question)\b",
    r"\bhere(?: is|'s) (?:a|an|the|your) (?:\w+ ){0,3}(?:passage|query|text|document|paragraph)\b",
    r"\bas an? (?:ai|large|artificial)\b.{0,20}\b(?:language )?(?:model|assistant|intelligence)\b",
    r"\bi (?:cannot|can't|am unable to) (?:assist|help|comply|provide|fulfil)\b",
    r"\[(?:insert|your|name|date|company)[^\]]{0,30}\]",
)


class LabelLeaks:
    """Drops a record with a leaking phrase in its trace, passage or query; the phrase is the reason."""

    name = "label-leak"

    def __init__(self, *, trace: tuple[str, ...] = TRACE, text: tuple[str, ...] = TEXT) -> None:
        self._trace = re.compile("|".join(f"(?:{phrase})" for phrase in trace), re.I)
        self._text = re.compile("|".join(f"(?:{phrase})" for phrase in text), re.I)

    def reason(self, record: Record) -> str | None:
        for where, text, phrases in (
            ("trace", record.trace or "", self._trace),
            ("passage", record.passage, self._text),
            ("query", record.query, self._text),
        ):
            found = phrases.search(text.replace("\u2019", "'"))
            if found:
                return f"'{found.group().casefold()[:40]}' in the {where}"
        return None
