"""Evidence traces: reasoning that states what is asked, quotes the passage, and concludes; how one is read and checked.

    The query asks: how is gout treated? The closest sentence is: "Colchicine eases an attack of gout." That answers it,
    so the passage is relevant.

The quotation stands between the first and the last straight double quote. A trace of another kind has none, and only
its conclusion is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

QUOTE = '"'
_ASKED = re.compile(r"[^:]*:\s*")
_NOT = re.compile(r"(?:is|are) not relevant|\birrelevant|does not (?:\w+ )?answer|\bno answer", re.I)
_YES = re.compile(r"\bis relevant|\banswers\b", re.I)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The parts of a trace: the words behind the first colon that state what is asked, the quotation, and the
    conclusion. A part that the trace lacks is None; so is a conclusion that says both or neither."""

    asked: str | None
    quotation: str | None
    relevant: bool | None


def read_evidence(trace: str) -> Evidence:
    """Reads the parts of a trace of any kind."""
    start, stop = trace.find(QUOTE), trace.rfind(QUOTE)
    if start == stop:
        return Evidence(None, None, conclusion(trace))
    before, quotation, after = trace[:start], trace[start + 1 : stop].strip(), trace[stop + 1 :]
    lead = _ASKED.match(before)
    return Evidence(None if lead is None else before[lead.end() :].strip(), quotation or None, conclusion(after))


def conclusion(text: str) -> bool | None:
    """Whether a text calls its passage relevant; None when it says neither, or both."""
    negative, positive = bool(_NOT.search(text)), bool(_YES.search(_NOT.sub(" ", text)))
    return positive if positive != negative else None


def stands_in(quotation: str, text: str) -> bool:
    """Whether `text` contains the quotation literally; only runs of white space count as equal."""
    wanted = " ".join(quotation.split())
    return bool(wanted) and wanted in " ".join(text.split())
