"""Prompts as pieces of text with slots: `"Query: {query}\\n"`. Each piece is encoded alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.formats.tokenizer import ContractError

QUERY, DOCUMENT, INSTRUCTION = "query", "document", "instruction"
SLOTS = (QUERY, DOCUMENT, INSTRUCTION)
_SLOT = re.compile(r"\{(query|document|instruction)\}")

Pieces = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Around:
    """A prompt with query and instruction filled in, split around the document.

    `before` are texts that are each encoded alone. The document is encoded together with `lead` and `trail` as one
    string. `after` are the texts that follow, each encoded alone.
    """

    before: Pieces
    lead: str
    trail: str
    after: Pieces

    def text(self, document: str) -> str:
        """The whole prompt as one string."""
        return "".join([*self.before, self.lead, document, self.trail, *self.after])


def slots_of(text: str) -> list[str]:
    """The slot names in a text, in order."""
    return _SLOT.findall(text)


def parts_of(text: str) -> list[tuple[str, bool]]:
    """The fixed parts of a text and the names of its slots in turn; True for a slot."""
    return [(part, at % 2 == 1) for at, part in enumerate(_SLOT.split(text))]


def filled(piece: str, values: Mapping[str, str]) -> str:
    """Fills the slots that `values` names, in one pass: a value that looks like a slot stays text."""
    return _SLOT.sub(lambda match: values.get(match[1], match[0]), piece)


def around(pieces: Pieces, query: str, instruction: str | None) -> Around:
    """Fills in the prompt of a call."""
    values = {QUERY: query, INSTRUCTION: instruction or ""}
    at = next(index for index, piece in enumerate(pieces) if "{document}" in piece)
    lead, _, trail = pieces[at].partition("{document}")
    return Around(
        before=tuple(filled(piece, values) for piece in pieces[:at]),
        lead=filled(lead, values),
        trail=filled(trail, values),
        after=tuple(filled(piece, values) for piece in pieces[at + 1 :]),
    )


def depends_on_call(pieces: Pieces) -> bool:
    """True when the piece with the document, or a later one, contains query or instruction."""
    at = next(index for index, piece in enumerate(pieces) if "{document}" in piece)
    return any(slot != DOCUMENT for piece in pieces[at:] for slot in slots_of(piece))


def with_slot_behind_query(pieces: Pieces) -> Pieces:
    """Adds an instruction slot to a prompt that has none: after the query, where Rank1 puts it."""
    first = next(index for index, piece in enumerate(pieces) if "{query}" in piece)
    stated = pieces[first].replace("{query}", "{query} {instruction}", 1)
    return (*pieces[:first], stated, *pieces[first + 1 :])


def check_slots(pieces: Sequence[str], where: str, *, instruction: bool) -> None:
    """Raises ContractError unless there is one document, a query, and at most one instruction where that is allowed."""
    found = [slot for piece in pieces for slot in slots_of(piece)]
    if found.count(DOCUMENT) != 1:
        raise ContractError(f"{where} holds {{document}} {found.count(DOCUMENT)} times; write it exactly once.")
    if QUERY not in found:
        raise ContractError(f"{where} has no {{query}}; write where the query stands.")
    if INSTRUCTION in found and not instruction:
        raise ContractError(f"{where} holds {{instruction}}, but is for calls without one; leave it out there.")
    if found.count(INSTRUCTION) > 1:
        raise ContractError(f"{where} holds {{instruction}} {found.count(INSTRUCTION)} times; write it once.")


def completable(pieces: Sequence[str], strings: Sequence[str]) -> tuple[str, str] | None:
    """A slot and one of the strings that a text in it could complete with what stands beside it; None where none can.

    Only what is encoded together counts: the text of a piece, and two slots side by side.
    """
    for piece in pieces:
        parts = [text for text, _ in parts_of(piece)]  # fixed text and slots in turn, from fixed text to fixed text
        for at in range(1, len(parts), 2):
            before, slot, after = parts[at - 1 : at + 2]
            for text in strings:
                inside = at > 1 and before in text[1:-1]  # the end of one text, `before`, the beginning of this one
                cuts = range(1, len(text))
                if inside or any(before.endswith(text[:cut]) or after.startswith(text[cut:]) for cut in cuts):
                    return slot, text
    return None
