"""How reasoning ends: the one implementation for every engine and the trainer.

Reasoning ends with the end-of-think tag, which a model may write fused with its last word; with an end of text or
another special token; at its budget; when it loops; or from outside, because a deadline is near. Code that generates
reasoning stops when `Reader.ended` returns a status and reads the result with `Reader.read`.
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
_LOOP_TOKENS = 48  # this many tokens that equal those one period earlier are a loop ...
_LOOP_COPIES = 3  # ... if they cover at least this many periods
_LOOP_REACH = 256  # longest end of the text that `loops` looks at, in tokens


class Status(StrEnum):
    """How reasoning ended. Direct verdicts are `complete`, except those made because a deadline was near.

    In adaptive mode, which does not reason about every document, `direct` is a verdict without reasoning, and
    `stopped_early` one whose reasoning was ended because the verdict had settled.
    """

    COMPLETE = "complete"
    BUDGET = "budget"
    END_OF_TEXT = "end_of_text"
    REPETITION = "repetition"
    DEADLINE = "deadline"
    DIRECT = "direct"
    STOPPED_EARLY = "stopped_early"


@dataclass(frozen=True, slots=True)
class ReasoningResult:
    """Reasoning that has ended.

    `ids` are those between the prompt and the answer token: the reasoning, the end-of-think tag (the model's own if it
    wrote one, otherwise the format's) and the format's `answer` text. `written` are those of them that the model wrote.
    `text` and `tokens` describe the reasoning without the tag.
    """

    ids: tuple[int, ...]
    written: tuple[int, ...]
    text: str
    tokens: int
    status: Status


def loops(written: Sequence[int]) -> bool:
    """True when `written` ends in a loop: a sequence of at most 64 tokens, repeated over at least 48 tokens."""
    return any(_repeated(written, period) for period in range(1, _LONGEST_PERIOD + 1))


def _repeated(written: Sequence[int], period: int) -> bool:
    needed = max(_LOOP_TOKENS, _LOOP_COPIES * period)
    if len(written) < needed + period:
        return False
    return all(written[-at] == written[-at - period] for at in range(1, needed + 1))


def end_ids(segments: Segments, *settings: Mapping[str, Any] | Path) -> frozenset[int]:
    """The tokens that end a text: those named in a model's settings, and every special token that is not part of the
    tag.

    `settings` are `generation_config.json` and `config.json`, as paths (a missing file names none) or as parsed
    objects.
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
    """Detects the end of reasoning and reads it. `end_ids` are the tokens that end a text. Thread-safe."""

    def __init__(self, segments: Segments, end_ids: Collection[int]) -> None:
        self._segments = segments
        self.end_ids = frozenset(end_ids)

    def ended(self, written: Sequence[int], budget: int) -> Status | None:
        """Checks after each generated id whether the reasoning has ended, and how; None when it continues.

        `budget` is the largest number of ids.
        """
        if written[-1] in self.end_ids:
            return Status.END_OF_TEXT
        if self._segments.closes(written):
            return Status.COMPLETE
        if len(written) >= budget:
            return Status.BUDGET
        return Status.REPETITION if loops(written) else None

    def looped_at(self, written: Sequence[int], seen: int) -> int | None:
        """The length at which a loop that lasts to the end was complete, if that is more than `seen`; otherwise
        None."""
        if not loops(written[-_LOOP_REACH:]):
            return None
        return next(n for n in range(seen + 1, len(written) + 1) if loops(written[max(0, n - _LOOP_REACH) : n]))

    def answered(self, written: Sequence[int], seen: int) -> bool:
        """True when the model closed its reasoning and wrote on. The first `seen` ids were checked before."""
        return any(self._segments.closes(written[:n]) for n in range(max(1, seen), len(written)))

    def read(self, written: Sequence[int], ended_by: Status | None = None) -> ReasoningResult:
        """Reads generated ids. `ended_by` is the reason why they were ended from outside, or None when the model or its
        budget ended them.

        A tag that the model wrote keeps its ids, fused or not, and everything after it is dropped; otherwise the
        format's tag is appended. An end-of-text token is not part of the reasoning.
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
    """Streams reasoning as text while it is generated. The pieces joined are the text that `Reader.read` returns.

    A piece ends before anything that may still change: an incomplete character, and a beginning of the end-of-think
    tag. Use one object per text.
    """

    def __init__(self, segments: Segments, before: str = "") -> None:
        """`before` is earlier text that no piece contains."""
        self._segments = segments
        self._said = before

    def next(self, written: Sequence[int]) -> str:
        """The text that has become certain; `written` are all ids so far. May be empty."""
        text = self._segments.trace_text(written)
        return self._piece(_certain(text, self._segments.format.close))

    def last(self, text: str) -> str:
        """The rest of the complete `text`."""
        return self._piece(text)

    def _piece(self, text: str) -> str:
        if not text.startswith(self._said):
            return ""
        piece, self._said = text[len(self._said) :], text
        return piece


def _certain(text: str, tag: str) -> str:
    """The text without a possible beginning of the tag and without incomplete characters."""
    if tag and tag in text:
        return text[: text.index(tag)]
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:length]):
            text = text[:-length]
            break
    return text.rstrip("\N{REPLACEMENT CHARACTER}")
