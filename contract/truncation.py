"""Cutting what does not fit: only ever the passage, never instruction, query or tail, and never without saying so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.prompt import PromptEncoder

_LIKELY_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5; more is tried where it does not suffice
_SLACK_TOKENS = 8  # what lies this far behind the cut has no influence on the tokens before it


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
