"""The prompt: what it says, and the one encoding of user text into it.

The wording is that of LimRank (arXiv 2510.23544) and Rank1 (arXiv 2502.18418), word for word. User text is data: where
a query, an instruction or a passage contains a delimiter or a special string of the tokenizer, a space is put after its
first and before its last character, so that neither its ids nor its last token appear in the user's span; all other
text is encoded exactly as the reference is. (Splitting it into pieces keeps the ids away too, but leaves the `>` that a
model has learned to expect a verdict after: docs/lab-log.md.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

InstructionPlace = Literal["query", "preamble"]


class Encoding(Protocol):
    """One encoded string: `ids`, and for each id the (start, end) characters it covers."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...


class Tokenizer(Protocol):
    """The part of `tokenizers.Tokenizer` that the contract uses; a tokenizer loaded from tokenizer.json is one."""

    @property
    def normalizer(self) -> Any: ...
    def encode(self, sequence: Any, *, add_special_tokens: bool = ...) -> Any: ...
    def encode_batch(self, input: Any, *, add_special_tokens: bool = ...) -> Any: ...  # noqa: A002 - its name there
    def decode(self, ids: Sequence[int], skip_special_tokens: bool = ...) -> str: ...
    def get_added_tokens_decoder(self) -> dict[int, Any]: ...
    def get_vocab(self, with_added_tokens: bool = ...) -> dict[str, int]: ...
    def no_truncation(self) -> None: ...
    def no_padding(self) -> None: ...


class ContractError(ValueError):
    """The agreement cannot be kept with this tokenizer, format or text. The message says which and why."""


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """The fixed text around query and passage. `instruction_place`: on the query's line, or after the preamble."""

    name: str = "limrank"
    preamble: str = "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'."
    query_label: str = "\nQuery:"
    passage_label: str = "\nPassage:"
    open: str = "<think>"
    close: str = "</think>"
    true_word: str = " true"
    false_word: str = " false"
    instruction_place: InstructionPlace = "query"

    def head(self) -> str:
        """The text before the first character of user text."""
        return self.preamble + ("" if self.instruction_place == "preamble" else self.query_label)

    def body(self, query: str, instruction: str | None) -> str:
        """The text from the first character of user text up to ` {passage}`, the one permitted cut."""
        if self.instruction_place == "preamble":
            stated = f" {instruction}" if instruction else ""
            return f"{stated}{self.query_label} {query}{self.passage_label}"
        stated = f" {instruction}" if instruction else ""
        return f" {query}{stated}{self.passage_label}"

    def tail(self) -> str:
        """The text after the last character of user text."""
        return f"\n{self.open}"

    def text(self, query: str, passage: str, instruction: str | None = None) -> str:
        """The whole prompt as the reference writes it."""
        return f"{self.head()}{self.body(query, instruction)} {passage}{self.tail()}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


LIMRANK = PromptFormat()


class Guard:
    """Keeps delimiters and the tokenizer's special strings out of user text. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer, delimiters: Sequence[str] = ()) -> None:
        """Raise ContractError when a string that must be kept out of user text cannot be broken up."""
        self._tokenizer = tokenizer
        strings = _guarded_strings(tokenizer, delimiters)
        self._pattern = re.compile("|".join(map(re.escape, strings)) if strings else r"(?!)")

    def bare(self, text: str) -> str:
        """The same text, unless it or its normal form holds a guarded string, which is broken up by spaces."""
        text = self._as_read(text)
        while self._pattern.search(text):  # again where two of them overlapped
            text = self._pattern.sub(_broken_up, text)
        return text

    def first_in(self, text: str) -> str | None:
        """The first guarded string in a text or its normal form."""
        found = self._pattern.search(self._as_read(text))
        return None if found is None else found.group()

    def _as_read(self, text: str) -> str:
        """The same text, or its normal form where that holds a guarded string."""
        if text.isascii() or self._tokenizer.normalizer is None:
            return text
        normal: str = self._tokenizer.normalizer.normalize_str(text)
        return normal if self._pattern.search(normal) else text


class PromptEncoder:
    """Turns prompts of one format into ids of one tokenizer. Safe to share between threads."""

    def __init__(self, prompt_format: PromptFormat, tokenizer: Tokenizer) -> None:
        """Raise ContractError when a string that must be kept out of user text cannot be broken up.

        What the tokenizer's file says of truncation and padding is switched off: where a passage is cut is decided here
        and said, and with padding a passage's ids would depend on the longest one beside it.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.format = prompt_format
        self.tokenizer = tokenizer
        self._guard = Guard(tokenizer, (prompt_format.open, prompt_format.close))

    def prefix(self, query: str, instruction: str | None = None) -> list[int]:
        """Ids of everything before ` {passage}`: what all passages of one call share."""
        stated = None if instruction is None else self.bare(instruction)
        return self._ids(self.format.head() + self.format.body(self.bare(query), stated))

    def rests(self, passages: Sequence[str]) -> list[list[int]]:
        """For each passage the ids of ` {passage}` and the tail; prefix + rest = the ids of the whole prompt."""
        tail = self.format.tail()
        texts = [f" {self.bare(passage)}{tail}" for passage in passages]
        return [encoded.ids for encoded in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def passage_offsets(self, passage: str) -> list[tuple[int, int]]:
        """For each token of ` {passage}` alone the (start, end) characters it covers in `bare(passage)`."""
        encoded = self.tokenizer.encode(f" {self.bare(passage)}", add_special_tokens=False)
        return [(max(start - 1, 0), max(end - 1, 0)) for start, end in encoded.offsets]

    def bare(self, text: str) -> str:
        """User text as it is encoded: the same, unless it or its normal form holds a guarded string."""
        return self._guard.bare(text)

    def control_string(self, text: str) -> str | None:
        """The first delimiter or special string of the tokenizer in a text, which must not be encoded as it stands."""
        return self._guard.first_in(text)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _broken_up(match: re.Match[str]) -> str:
    text = match.group()
    return f"{text[0]} {text[1:-1]} {text[-1]}"


def _guarded_strings(tokenizer: Tokenizer, delimiters: Sequence[str]) -> list[str]:
    """The strings kept out of user text: the delimiters, and what the tokenizer gives an id of its own."""
    added = (token.content for token in tokenizer.get_added_tokens_decoder().values())
    guarded = dict.fromkeys([*delimiters, *(text for text in added if not text.isspace())])
    for text in guarded:
        if len(text) < 2 or " " in text:
            raise ContractError(
                f"{text!r} cannot be kept out of user text by spaces; use a tokenizer whose special strings have at "
                "least two characters and no space."
            )
    return list(guarded)
