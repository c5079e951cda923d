"""A sequence has four segments, each encoded alone: prompt, trace, close, verdict word. Only this module joins their
ids.

Formats without reasoning have no close. A format may have fixed text between close and word (`answer`).

Trainer and service both build their ids here, so that a model is scored on the ids it was trained on, even where a
tokenizer would merge the end of one segment with the start of the next.

Worked example (Qwen2.5, LIMRANK) with the trace `It is relevant.`:

    prompt   ... "\\n" "<th" "ink" ">"           ... 198 13708 766 29     no loss
    trace    "It" " is" " relevant" "."         2132 374 9760 13
    close    "</" "think" ">"                   522 26865 29
    word     " true"                            830

Encoded as one string, `It is relevant.</think>` would end in other ids: 2132 374 9760 3918 26865 29, because the
tokenizer merges ".</" into 3918. A model may still write that; `find_close` recognises it by decoding.
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
    """Reasoning that a model wrote. `ids` include the close; `text` and `tokens` do not."""

    ids: tuple[int, ...]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Example:
    """A training sequence. The first `prompt_tokens` of its `ids` carry no loss."""

    ids: tuple[int, ...]
    prompt_tokens: int


class Segments:
    """The segments for one format and one tokenizer."""

    def __init__(self, prompt_format: PromptFormat, tokenizer: Tokenizer) -> None:
        """Raises ContractError when the tokenizer cannot keep the contract."""
        self.format = prompt_format
        self.tokenizer = tokenizer
        self.prompt = PromptEncoder(prompt_format, tokenizer)
        self.close = _ids(tokenizer, prompt_format.close)
        self.answer = _ids(tokenizer, prompt_format.answer)
        self.reading: Reading = resolve_reading(prompt_format, tokenizer)

    @property
    def closing(self) -> tuple[int, ...]:
        """The ids that end reasoning which the model did not end itself: the close and the `answer` text."""
        return (*self.close, *self.answer)

    @property
    def verdict(self) -> VerdictTokens:
        """The token of the first spelling of each word. Raises ContractError for a format without two words."""
        return first_spellings(self.reading, self.format)

    def prompt_ids(self, query: str, passage: str, instruction: str | None = None) -> list[int]:
        """Ids of the whole prompt."""
        behind = self.prompt.behind(query, instruction)
        return self.prompt.prefix(query, instruction) + self.prompt.rests([passage], behind)[0]

    def trace_ids(self, trace: str) -> list[int]:
        """Ids of the text of a trace. Raises ContractError when it contains a delimiter or a special string."""
        if (found := self.prompt.control_string(trace)) is not None:
            raise ContractError(f"A trace must not contain {found!r}; take it out of {trace[:80]!r}.")
        return list(self.tokenizer.encode(trace, add_special_tokens=False).ids)

    def context(self, prompt: Sequence[int], trace: Sequence[int] = ()) -> list[int]:
        """The ids before the verdict word: prompt, trace (empty in direct mode) and the canonical close."""
        return [*prompt, *trace, *self.closing]

    def context_after(self, prompt: Sequence[int], written: Sequence[int]) -> list[int]:
        """The same for ids that a model wrote: keeps the model's own close, or appends the canonical one."""
        closed = self.find_close(written)
        return self.context(prompt, written) if closed is None else [*prompt, *closed.ids, *self.answer]

    def example(self, prompt: Sequence[int], trace: Sequence[int], relevant: bool) -> Example:
        """A training sequence up to and including the verdict word; an empty trace gives one for direct mode."""
        word = self.verdict.true if relevant else self.verdict.false
        return Example((*self.context(prompt, trace), word), len(prompt))

    def closes(self, written: Sequence[int]) -> bool:
        """True when the last generated id completes the close. Decodes only the end, so it is cheap enough for every
        token."""
        return self.format.close in self._decode(written[-len(self.format.close) :])

    def find_close(self, written: Sequence[int]) -> WrittenTrace | None:
        """The trace up to the first close among generated ids; None when there is no close."""
        text = self._decode(written)
        at = text.find(self.format.close)
        if at < 0:
            return None
        end = bisect_left(range(len(written) + 1), True, key=lambda n: self.format.close in self._decode(written[:n]))
        start = next(n for n in range(end - 1, -1, -1) if self.format.close in self._decode(written[n:end]))
        return WrittenTrace(tuple(written[:end]), _whole_characters(text[:at]), start)

    def trace_text(self, written: Sequence[int]) -> str:
        """The text of a trace that has no close, without an incomplete character at its end."""
        return _whole_characters(self._decode(written))

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)


def _ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tuple(ids_of_text(tokenizer, text)) if text else ()


def _whole_characters(text: str) -> str:
    return text.removesuffix("\N{REPLACEMENT CHARACTER}")
