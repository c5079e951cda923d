"""How much a model reads, and cutting what does not fit: only ever the passage, never instruction, query or tail, and
never without saying so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contract.prompt import ContractError, PromptEncoder

_POSITION_TABLE = re.compile(r"(^|\.)(position_embeddings?|pos_embeddings?|embed_positions|wpe)$")

_LIKELY_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5; more is tried where it does not suffice
_SLACK_TOKENS = 8  # what lies this far behind the cut has no influence on the tokens before it


def position_count(model: Any) -> int:
    """How many tokens a model of transformers can tell the places of: the rows of its table of positions that are for
    text or, without a table (rotary and relative positions), the `max_position_embeddings` of its configuration.

    Where a table has a row for padding (the RoBERTa family, MPNet), text begins behind it; OPT and BART leave out the
    first `offset` rows. Raise ContractError where neither says a number.
    """
    tables = [
        int(module.num_embeddings) - _rows_before_text(module)
        for name, module in model.named_modules()
        if _POSITION_TABLE.search(name) and hasattr(module, "num_embeddings")
    ]
    stated = getattr(model.config, "max_position_embeddings", None)
    found = min(tables) if tables else stated
    if not isinstance(found, int) or found < 1:
        raise ContractError(
            f"its configuration says max_position_embeddings {stated!r}, so nobody knows how much it reads."
        )
    return found


def _rows_before_text(table: Any) -> int:
    padding = getattr(table, "padding_idx", None)
    return int(getattr(table, "offset", 0)) if padding is None else int(padding) + 1


@dataclass(frozen=True, slots=True)
class FittedRest:
    """Ids of ` {passage}` and the tail, at most as long as was asked for; `truncated` tells whether it was cut."""

    ids: list[int]
    truncated: bool


class PassageFitter:
    """Fits passages into a number of tokens. A cut falls between two tokens of the passage, and the shorter text is
    then encoded as the reference would encode it."""

    def __init__(self, prompt: PromptEncoder) -> None:
        self._prompt = prompt
        self.tail_tokens = len(prompt.rests([""])[0])

    def fit(
        self, passages: Sequence[str], room: int, passage_tokens: int | None = None, *, cut_left: bool = False
    ) -> list[FittedRest]:
        """Rests of at most `room` ids whose passage alone is at most `passage_tokens` tokens.

        `cut_left` drops the beginning of a passage instead of its end. Raise ValueError if not even an empty passage
        fits into `room`.
        """
        if room < self.tail_tokens:
            raise ValueError(f"There is room for {room} tokens, but the prompt's end alone takes {self.tail_tokens}.")
        limit = room if passage_tokens is None else min(room, passage_tokens)
        near = [self._near(passage, limit, cut_left) for passage in passages]
        texts = [self._prompt.bare(text) for text in near]
        rests = self._prompt.rests(texts)
        return [
            self._fit_one(bare, rest, room, passage_tokens, cut_left, cut_before=text is not passage)
            if len(rest) > limit
            else FittedRest(rest, False)
            for passage, text, bare, rest in zip(passages, near, texts, rests, strict=True)
        ]

    def _near(self, passage: str, limit: int, cut_left: bool) -> str:
        """The passage, or so much of a long one as certainly has more than `limit` tokens: a huge text is not encoded
        whole, nor one of long words further than it takes."""
        characters = (limit + _SLACK_TOKENS) * _LIKELY_CHARACTERS_PER_TOKEN
        while characters < len(passage):
            near = passage[-characters:] if cut_left else passage[:characters]
            if len(self._prompt.passage_offsets(near)) > limit + _SLACK_TOKENS:
                return near
            characters *= 2
        return passage

    def _fit_one(
        self, text: str, rest: list[int], room: int, passage_tokens: int | None, cut_left: bool, *, cut_before: bool
    ) -> FittedRest:
        offsets = self._prompt.passage_offsets(text)
        keep = min(len(offsets), room if passage_tokens is None else passage_tokens)
        while True:
            shorter = text if keep == len(offsets) else _cut(text, offsets, keep, cut_left)
            candidate = rest if shorter is text else self._prompt.rests([shorter])[0]
            if len(candidate) <= room and self._passage_fits(shorter, passage_tokens):
                return FittedRest(candidate, cut_before or shorter != text)
            keep = max(0, keep - max(1, len(candidate) - room))

    def _passage_fits(self, text: str, passage_tokens: int | None) -> bool:
        return passage_tokens is None or not text or len(self._prompt.passage_offsets(text)) <= passage_tokens


def _cut(text: str, offsets: list[tuple[int, int]], keep: int, cut_left: bool) -> str:
    if keep == 0:
        return ""
    if cut_left:
        return text[offsets[-keep][0] :].removeprefix(" ")
    return text[: offsets[keep - 1][1]]
