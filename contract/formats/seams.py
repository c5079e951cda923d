"""Finds where a prompt that is written as one string can be cut so that its pieces have the ids of the whole string.

The text before the cut is the same for all passages of a call and is encoded once for them. Cuts are tried backwards
from the passage, with probe texts whose ends and beginnings cover the ways in which tokenizers merge neighbours.
"""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Iterator

from contract.formats.template import Pieces, filled, slots_of
from contract.formats.tokenizer import ContractError, Tokenizer, ids_of_text

_REACH = 48  # furthest cut before the passage that is tried, in characters
_ENDS = (
    "",
    "word",
    "Word",
    " word",
    "\n",
    "\n\nword",
    "\r\n",
    "\t",
    "  ",
    "   word",
    "1",
    "12",
    ".",
    "...",
    ":",
    "::",
    "'s",
    "<",
)
_SCRIPTS = (
    "日本語",
    "é",
    "e\u0301",
    "\u0301",
    "ß",
    "🎉",
    "שלום",
    "\u200b",
    "\ufffd",
    "</",
    "}",
    ")",
    "-",
    "—",
    "…",
    "_",
    "##",
)
PROBES = (*_ENDS, *_SCRIPTS)
_WORDS = (
    "what",
    "is",
    "a",
    "lipid",
    "2024",
    "3.14",
    "don't",
    "naïve",
    "東京",
    "\n",
    "\n\n",
    " ",
    "\t",
    ":",
    "?",
    ".",
    "…",
    "<",
    ">",
)


def cut_before_document(piece: str, tokenizer: Tokenizer) -> Pieces:
    """Cuts a piece before its document, into (fixed text, rest).

    For a tokenizer that adds a space before whatever it encodes, a space at the cut is dropped, because the tokenizer
    adds it again. Returns the piece unchanged when nothing precedes the document. Raises ContractError when no cut is
    exact with this tokenizer.
    """
    fixed = piece.partition("{document}")[0]
    slots = slots_of(fixed)
    since = len(fixed) if not slots else len(fixed.rpartition(f"{{{slots[-1]}}}")[2])
    if not fixed or (not slots and not since):
        return (piece,)
    for at in range(len(fixed), max(len(fixed) - min(since, _REACH), 0) - 1, -1):
        for rest in _rests(piece, at):
            if at and _joins((piece[:at], rest), piece, tokenizer):
                return piece[:at], rest
    raise ContractError(
        f"The text before {{document}}, {fixed[-_REACH:]!r}, cannot be cut so that this tokenizer gives its parts the "
        "ids of the whole; write the prompt as a list of the parts that the model's own code encodes apart."
    )


def check_joined(pieces: Pieces, tokenizer: Tokenizer, whole: str, count: int = 200) -> None:
    """Raises ContractError unless the pieces have the ids of the one string `whole`, on `count` random texts."""
    choose = random.Random(0)  # noqa: S311 - texts for a test
    for _ in range(count):
        values = {slot: random_text(choose) for slot in ("query", "document", "instruction")}
        ids = [i for piece in pieces for i in ids_of_text(tokenizer, filled(piece, values))]
        if ids != ids_of_text(tokenizer, filled(whole, values)):
            raise ContractError(
                f"Cut into pieces, the prompt does not have the ids of the whole string, for example with the document "
                f"{values['document'][:40]!r}; write it as a list of the parts that the model's own code encodes apart."
            )


def _rests(piece: str, at: int) -> Iterator[str]:
    yield piece[at:]
    if piece[at : at + 1] == " ":
        yield piece[at + 1 :]


def _joins(pieces: Pieces, whole: str, tokenizer: Tokenizer) -> bool:
    return all(_same(pieces, whole, values, tokenizer) for values in _probes(pieces[0]))


def _probes(before: str) -> Iterator[dict[str, str]]:
    """All beginnings of a passage, combined with all endings of a user text when that directly precedes the cut."""
    ends = PROBES if before.endswith("}") and slots_of(before) else ("",)
    for end, begin in itertools.product(ends, (*PROBES, *string.printable)):
        text = f"what is{end}"
        yield {"query": text, "instruction": text, "document": f"{begin}word"}
        if end in ("", "word"):
            yield {"query": text, "instruction": text, "document": begin}


def _same(pieces: Pieces, whole: str, values: dict[str, str], tokenizer: Tokenizer) -> bool:
    ids = [i for piece in pieces for i in ids_of_text(tokenizer, filled(piece, values))]
    return ids == ids_of_text(tokenizer, filled(whole, values))


def random_text(choose: random.Random) -> str:
    """Words, punctuation and white space, joined with or without spaces; may be empty."""
    parts = choose.choices((*_WORDS, *PROBES), k=choose.randrange(8))
    return choose.choice(("", " ")).join(parts)
