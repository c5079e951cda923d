"""A sequence has four segments, each encoded alone: prompt, trace, close, verdict word. The only place ids are joined.

A format whose models do not reason has no close, and one may have a fixed text between close and word (`answer`).

The trainer and the service both build their ids here, so what is trained is what is scored, also where a tokenizer
would fuse the end of one segment with the start of the next (`relevant.</think>` is one token less on Qwen2.5).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from contract.formats.tokenizer import ids_of_text
from contract.prompt import ContractError, PromptEncoder, PromptFormat, Tokenizer
from contract.verdict import Reading, VerdictTokens, first_spellings, resolve_reading


@dataclass(frozen=True, slots=True)
class WrittenTrace:
    """A trace a model wrote. `ids` are all it wrote through the close; `text` and `tokens` leave the close out."""

    ids: tuple[int, ...]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Example:
    """A training sequence: `ids`, of which the first `prompt_tokens` carry no loss."""

    ids: tuple[int, ...]
    prompt_tokens: int


class Segments:
    """The four segments for one format and one tokenizer."""

    def __init__(self, prompt_format: PromptFormat, tokenizer: Tokenizer) -> None:
        """Raise ContractError when the tokenizer cannot keep the agreement."""
        self.format = prompt_format
        self.tokenizer = tokenizer
        self.prompt = PromptEncoder(prompt_format, tokenizer)
        self.close = _ids(tokenizer, prompt_format.close)
        self.answer = _ids(tokenizer, prompt_format.answer)
        self.reading: Reading = resolve_reading(prompt_format, tokenizer)

    @property
    def closing(self) -> tuple[int, ...]:
        """What is put behind reasoning that the model did not end: the close and the `answer` text."""
        return (*self.close, *self.answer)

    @property
    def verdict(self) -> VerdictTokens:
        """The tokens of the first spelling of both words. Raise ContractError for a format without two words."""
        return first_spellings(self.reading, self.format)

    def prompt_ids(self, query: str, passage: str, instruction: str | None = None) -> list[int]:
        """Ids of the whole prompt."""
        behind = self.prompt.behind(query, instruction)
        return self.prompt.prefix(query, instruction) + self.prompt.rests([passage], behind)[0]

    def trace_ids(self, trace: str) -> list[int]:
        """Ids of a trace's text. Raise ContractError for one that holds a delimiter or a special string."""
        if (found := self.prompt.control_string(trace)) is not None:
            raise ContractError(f"A trace must not contain {found!r}; take it out of {trace[:80]!r}.")
        return list(self.tokenizer.encode(trace, add_special_tokens=False).ids)

    def context(self, prompt: Sequence[int], trace: Sequence[int] = ()) -> list[int]:
        """The ids the verdict word follows: prompt, trace (empty in direct mode) and the canonical close."""
        return [*prompt, *trace, *self.closing]

    def context_after(self, prompt: Sequence[int], written: Sequence[int]) -> list[int]:
        """The same for a trace as the model wrote it: a close of its own is kept with its ids, else ours is put."""
        closed = self.find_close(written)
        return self.context(prompt, written) if closed is None else [*prompt, *closed.ids, *self.answer]

    def example(self, prompt: Sequence[int], trace: Sequence[int], relevant: bool) -> Example:
        """A training sequence through the verdict word; with an empty trace it is one for direct mode."""
        word = self.verdict.true if relevant else self.verdict.false
        return Example((*self.context(prompt, trace), word), len(prompt))

    def closes(self, written: Sequence[int]) -> bool:
        """True when the last of the ids a model wrote completes the close. Cheap: looks at the end only."""
        return self.format.close in self._decode(written[-len(self.format.close) :])

    def find_close(self, written: Sequence[int]) -> WrittenTrace | None:
        """The trace up to the first close among the ids a model wrote, or None where there is no close."""
        text = self._decode(written)
        at = text.find(self.format.close)
        if at < 0:
            return None
        end = bisect_left(range(len(written) + 1), True, key=lambda n: self.format.close in self._decode(written[:n]))
        start = next(n for n in range(end - 1, -1, -1) if self.format.close in self._decode(written[n:end]))
        return WrittenTrace(tuple(written[:end]), _whole_characters(text[:at]), start)

    def trace_text(self, written: Sequence[int]) -> str:
        """The text of a trace that has no close; half a character at its end is left out."""
        return _whole_characters(self._decode(written))

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)


def _ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(ids_of_text(tokenizer, text)) if text else ()


def _whole_characters(text: str) -> str:
    return text.removesuffix("\N{REPLACEMENT CHARACTER}")
