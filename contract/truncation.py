"""Cutting what does not fit: only ever the passage, never instruction, query or tail, and never without saying so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.prompt import PromptEncoder

# Normalising to NFC makes at most four characters into one, so a token of L characters covers at most 4 L of the text.
_CHARACTERS_PER_NORMAL_CHARACTER = 4


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
        self._longest_token = max(map(len, prompt.tokenizer.get_vocab(with_added_tokens=True)))
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
            FittedRest(rest, text is not passage)
            if len(rest) <= limit
            else self._fit_one(bare, rest, room, passage_tokens, cut_left, cut_before=text is not passage)
            for passage, text, bare, rest in zip(passages, near, texts, rests, strict=True)
        ]

    def _near(self, passage: str, limit: int, cut_left: bool) -> str:
        """The passage without what lies far beyond `limit` tokens, so that a huge text is not encoded whole."""
        most = (limit + 8) * self._longest_token * _CHARACTERS_PER_NORMAL_CHARACTER
        if len(passage) <= most:
            return passage
        return passage[-most:] if cut_left else passage[:most]

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
