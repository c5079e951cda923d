"""How many tokens a model reads, and truncation to that length: only ever of the passage, never of instruction, query
or the prompt's end, and always reported.

Worked example (Qwen2.5, LIMRANK): the rest of the passage `Pumps move water.` has 8 ids: 5 of the passage and 4 of the
prompt's end, less one, because the full stop and the newline merge:

    " P" "umps" " move" " water" ".\\n" "<th" "ink" ">"

With `room` 7 the passage (5 tokens when encoded alone) must be cut. Keeping 4 tokens gives 8 ids again, because nothing
merges any more; keeping 3 gives 7. So every candidate is encoded again until it fits:

    " P" "umps" " move" " water" "\\n" "<th" "ink" ">"      4 kept: 8 ids
    " P" "umps" " move" "\\n" "<th" "ink" ">"               3 kept: 7 ids
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contract.prompt import Behind, ContractError, PromptEncoder

_POSITION_TABLE = re.compile(r"(^|\.)(position_embeddings?|pos_embeddings?|embed_positions|wpe)$")

_LIKELY_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5; the window doubles when this is too few
_SLACK_TOKENS = 8  # tokens this far from the cut do not influence the tokens before it


def position_count(model: Any) -> int:
    """The number of positions of a transformers model: the rows of its position table that are for text or, without a
    table (rotary and relative positions), the `max_position_embeddings` of its configuration.

    In tables with a padding row (the RoBERTa family, MPNet) text begins after it; OPT and BART skip the first `offset`
    rows. Raises ContractError when neither gives a number.
    """
    rows = table_rows(model)
    stated = getattr(model.config, "max_position_embeddings", None)
    found = stated if rows is None else rows
    if not isinstance(found, int) or found < 1:
        raise ContractError(
            f"its configuration says max_position_embeddings {stated!r}, so nobody knows how much it reads."
        )
    return found


def table_rows(model: Any) -> int | None:
    """The rows for text of a model's table of positions, behind which it can compute nothing; None without a table."""
    tables = (
        int(module.num_embeddings) - _rows_before_text(module)
        for name, module in model.named_modules()
        if _POSITION_TABLE.search(name) and hasattr(module, "num_embeddings")
    )
    return min(tables, default=None)


def _rows_before_text(table: Any) -> int:
    padding = getattr(table, "padding_idx", None)
    return int(getattr(table, "offset", 0)) if padding is None else int(padding) + 1


@dataclass(frozen=True, slots=True)
class FittedRest:
    """Ids of a passage and what follows it, at most as many as requested. `truncated`: the passage was cut."""

    ids: list[int]
    truncated: bool


class PassageFitter:
    """Truncates passages to a number of tokens. A cut falls between two tokens of the passage; the shorter text is then
    encoded again, as the reference would encode it."""

    def __init__(self, prompt: PromptEncoder) -> None:
        self._prompt = prompt

    @property
    def tail_tokens(self) -> int:
        """Tokens after a passage, when they are the same for every call."""
        return self.tokens_behind(None)

    def tokens_behind(self, behind: Behind | None) -> int:
        """Tokens of a rest with an empty passage: the least `room`."""
        return len(self._prompt.rests([""], behind)[0])

    def fit(
        self,
        passages: Sequence[str],
        room: int,
        passage_tokens: int | None = None,
        *,
        cut_left: bool = False,
        behind: Behind | None = None,
    ) -> list[FittedRest]:
        """Rests of at most `room` ids, whose passage has at most `passage_tokens` tokens by itself.

        `cut_left` drops the beginning of a passage instead of its end. `behind`: see `PromptEncoder.rests`. Raises
        ValueError if not even an empty passage fits into `room`.
        """
        least = self.tokens_behind(behind)
        if room < least:
            raise ValueError(f"There is room for {room} tokens, but the prompt's end alone takes {least}.")
        return _Fit(self._prompt, behind, room, passage_tokens, cut_left).all(passages)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One call of `PassageFitter.fit`."""

    prompt: PromptEncoder
    behind: Behind | None
    room: int
    passage_tokens: int | None
    cut_left: bool

    def all(self, passages: Sequence[str]) -> list[FittedRest]:
        limit = self.room if self.passage_tokens is None else min(self.room, self.passage_tokens)
        near = [self._near(passage, limit) for passage in passages]
        texts = [self.prompt.bare(text) for text in near]
        rests = self.prompt.rests(texts, self.behind)
        return [
            self._one(bare, rest, cut_before=text is not passage) if len(rest) > limit else FittedRest(rest, False)
            for passage, text, bare, rest in zip(passages, near, texts, rests, strict=True)
        ]

    def _near(self, passage: str, limit: int) -> str:
        """The passage, or a part of a long one that certainly has more than `limit` tokens, so that a huge text is not
        encoded in full."""
        characters = (limit + _SLACK_TOKENS) * _LIKELY_CHARACTERS_PER_TOKEN
        while characters < len(passage):
            near = passage[-characters:] if self.cut_left else passage[:characters]
            if len(self.prompt.passage_offsets(near, self.behind)) > limit + _SLACK_TOKENS:
                return near
            characters *= 2
        return passage

    def _one(self, text: str, rest: list[int], *, cut_before: bool) -> FittedRest:
        offsets = self.prompt.passage_offsets(text, self.behind)
        keep = min(len(offsets), self.room if self.passage_tokens is None else self.passage_tokens)
        while True:
            shorter = text if keep == len(offsets) else _cut(text, offsets, keep, self.cut_left)
            candidate = rest if shorter is text else self.prompt.rests([shorter], self.behind)[0]
            if len(candidate) <= self.room and self._passage_fits(shorter):
                return FittedRest(candidate, cut_before or shorter != text)
            keep = max(0, keep - max(1, len(candidate) - self.room))

    def _passage_fits(self, text: str) -> bool:
        most = self.passage_tokens
        return most is None or not text or len(self.prompt.passage_offsets(text, self.behind)) <= most


def _cut(text: str, offsets: list[tuple[int, int]], keep: int, cut_left: bool) -> str:
    if keep == 0:
        return ""
    if cut_left:
        return text[offsets[-keep][0] :].removeprefix(" ")
    return text[: offsets[keep - 1][1]]
