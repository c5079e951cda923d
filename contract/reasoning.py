"""How reasoning ends: the one reading of what a model wrote, for every engine and for the trainer.

A model's reasoning ends with the end-of-think tag, which it may write fused with its last word; by an end of text or
another special token; by its budget; by running in a loop; or from outside, because a deadline is near. Whoever has a
model write stops where `Reader.end_of` says so and reads the result with `Reader.read`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from contract.segments import Segments

_LONGEST_PERIOD = 64
_LOOP_TOKENS = 48  # so many tokens that repeat those one period earlier are a loop ...
_LOOP_COPIES = 3  # ... if the period comes back at least so many times
_LOOP_REACH = 256  # tokens `loops` looks back at, at most


class Status(StrEnum):
    """How reasoning ended. `complete` is also every direct verdict, save those made because a deadline was near."""

    COMPLETE = "complete"
    BUDGET = "budget"
    END_OF_TEXT = "end_of_text"
    REPETITION = "repetition"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class ReasoningResult:
    """Reasoning that has ended.

    `ids`: what stands between the prompt and the answer token, end-of-think tag included: the model's own where it
    wrote one, else the format's; and the format's `answer` text. `written`: what of them the model wrote. `text` and
    `tokens`: the reasoning's, without the tag.
    """

    ids: tuple[int, ...]
    written: tuple[int, ...]
    text: str
    tokens: int
    status: Status


def loops(written: Sequence[int]) -> bool:
    """True when the end of `written` is one piece over and over: of up to 64 tokens, through at least 48."""
    return any(_repeated(written, period) for period in range(1, _LONGEST_PERIOD + 1))


def _repeated(written: Sequence[int], period: int) -> bool:
    needed = max(_LOOP_TOKENS, _LOOP_COPIES * period)
    if len(written) < needed + period:
        return False
    return all(written[-at] == written[-at - period] for at in range(1, needed + 1))


def end_ids(segments: Segments, *settings: Mapping[str, Any] | Path) -> frozenset[int]:
    """The tokens that end a text: those that a model's settings name, and every special token outside the tag.

    `settings`: `generation_config.json` and `config.json`, as files (one that is not there names none) or as read.
    """
    named = [_eos(each) for each in settings]
    added = segments.tokenizer.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special}
    return frozenset(({i for ids in named for i in ids} | special) - set(segments.close))


def folder_end_ids(folder: Path, segments: Segments) -> frozenset[int]:
    """`end_ids` of a checkpoint folder."""
    return end_ids(segments, folder / "generation_config.json", folder / "config.json")


def _eos(settings: Mapping[str, Any] | Path) -> Iterable[int]:
    if isinstance(settings, Path):
        settings = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    value: Any = settings.get("eos_token_id")
    return [] if value is None else [value] if isinstance(value, int) else list(value)


class Reader:
    """Finds the end of reasoning and reads it. `end_ids` are the tokens that end a text. Safe to share."""

    def __init__(self, segments: Segments, end_ids: Collection[int]) -> None:
        self._segments = segments
        self.end_ids = frozenset(end_ids)

    def ended(self, written: Sequence[int], budget: int) -> Status | None:
        """How the last of the ids that a model wrote ends its reasoning, asked after each one; None: it goes on.

        `budget`: the most ids it may write.
        """
        if written[-1] in self.end_ids:
            return Status.END_OF_TEXT
        if self._segments.closes(written):
            return Status.COMPLETE
        if len(written) >= budget:
            return Status.BUDGET
        return Status.REPETITION if loops(written) else None

    def looped_at(self, written: Sequence[int], seen: int) -> int | None:
        """Where a loop that goes on to the end was complete, if anywhere behind the first `seen` tokens."""
        if not loops(written[-_LOOP_REACH:]):
            return None
        return next(n for n in range(seen + 1, len(written) + 1) if loops(written[max(0, n - _LOOP_REACH) : n]))

    def answered(self, written: Sequence[int], seen: int) -> bool:
        """True when the model closed its reasoning and wrote on; `seen`: so many ids were looked at before."""
        return any(self._segments.closes(written[:n]) for n in range(max(1, seen), len(written)))

    def read(self, written: Sequence[int], ended_by: Status | None = None) -> ReasoningResult:
        """The reasoning in what a model wrote. `ended_by`: why it was ended from outside, or None where the model or
        its budget ended it.

        A tag of the model's own wins and keeps its ids, fused or not, and what stands behind it is left out; in every
        other case the format's is put. An end of text is no part of the reasoning.
        """
        if (found := self._segments.find_close(written)) is not None:
            ids = (*found.ids, *self._segments.answer)
            return ReasoningResult(ids, found.ids, found.text, found.tokens, Status.COMPLETE)
        if written and written[-1] in self.end_ids:
            return self._cut(written[:-1], Status.END_OF_TEXT)
        return self._cut(written, ended_by or Status.BUDGET)

    def _cut(self, written: Sequence[int], status: Status) -> ReasoningResult:
        ids = tuple(written)
        text = self._segments.trace_text(ids)
        return ReasoningResult((*ids, *self._segments.closing), ids, text, len(ids), status)


class PieceReader:
    """Reasoning as text while it is written, piece by piece: joined they are the text that `Reader.read` gives.

    A piece ends before what may still change: half a character, and the beginning of what may become the end-of-think
    tag. One for each text.
    """

    def __init__(self, segments: Segments, before: str = "") -> None:
        """`before`: text that was there before and is in no piece."""
        self._segments = segments
        self._said = before

    def next(self, written: Sequence[int]) -> str:
        """What has become certain of the text; `written` are all ids so far. May be empty."""
        text = self._segments.trace_text(written)
        return self._piece(_certain(text, self._segments.format.close))

    def last(self, text: str) -> str:
        """What is left of the whole `text`."""
        return self._piece(text)

    def _piece(self, text: str) -> str:
        if not text.startswith(self._said):
            return ""
        piece, self._said = text[len(self._said) :], text
        return piece


def _certain(text: str, tag: str) -> str:
    """A text without what may belong to the tag, and without characters that are not whole."""
    if tag and tag in text:
        return text[: text.index(tag)]
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:length]):
            text = text[:-length]
            break
    return text.rstrip("\N{REPLACEMENT CHARACTER}")
