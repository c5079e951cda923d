"""The prompt: what it says, and the one encoding of user text into it.

The wording is that of LimRank (arXiv 2510.23544) and Rank1 (arXiv 2502.18418), word for word. User text is data: where
a query, an instruction or a passage contains a delimiter or a special string of the tokenizer, that string is spelled
out, each character encoded alone, so that its ids never appear in the user's span; all other text is encoded exactly
as the reference is. (A cut after the first character keeps the ids away too, but leaves a model more to recognise.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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


class PromptEncoder:
    """Turns prompts of one format into ids of one tokenizer. Safe to share between threads."""

    def __init__(self, prompt_format: PromptFormat, tokenizer: Tokenizer) -> None:
        """Raise ContractError when a string that must be kept out of user text would look the same spelled out."""
        self.format = prompt_format
        self.tokenizer = tokenizer
        self._guarded_strings = _guarded_strings(prompt_format, tokenizer)
        self._guarded = re.compile("|".join(map(re.escape, self._guarded_strings)))
        self._guarded_characters = frozenset("".join(self._guarded_strings))
        self._spelled: dict[str, list[int]] = {}

    def prefix(self, query: str, instruction: str | None = None) -> list[int]:
        """Ids of everything before ` {passage}`: what all passages of one call share."""
        stated = None if instruction is None else self.bare(instruction)
        return self._encode(self.format.head(), self.format.body(self.bare(query), stated), "")

    def rests(self, passages: Sequence[str]) -> list[list[int]]:
        """For each passage the ids of ` {passage}` and the tail; prefix + rest = the ids of the whole prompt."""
        tail = self.format.tail()
        bodies = [f" {self.bare(passage)}" for passage in passages]
        plain = [index for index, body in enumerate(bodies) if not self._guarded.search(body)]
        encoded = self.tokenizer.encode_batch([bodies[i] + tail for i in plain], add_special_tokens=False)
        rests: dict[int, list[int]] = dict(zip(plain, (e.ids for e in encoded), strict=True))
        return [rests[i] if i in rests else self._encode("", body, tail) for i, body in enumerate(bodies)]

    def passage_offsets(self, passage: str) -> list[tuple[int, int]]:
        """For each token of ` {passage}` alone the (start, end) characters it covers in `passage`."""
        body, offsets, start = f" {passage}", [], 0
        for piece in self._pieces("", self.bare(body), ""):
            encoded = self.tokenizer.encode(piece, add_special_tokens=False)
            offsets += [(max(a + start - 1, 0), max(b + start - 1, 0)) for a, b in encoded.offsets]
            start += len(piece)
        return offsets

    def bare(self, text: str) -> str:
        """The text, in the tokenizer's own normal form if that form shows a guarded string."""
        if text.isascii() or self.tokenizer.normalizer is None:
            return text
        normal: str = self.tokenizer.normalizer.normalize_str(text)
        return normal if self._guarded.search(normal) or self._guarded.search(text) else text

    def _encode(self, head: str, user: str, tail: str) -> list[int]:
        return [i for piece in self._pieces(head, user, tail) for i in self._encode_piece(piece)]

    def _encode_piece(self, piece: str) -> list[int]:
        """Ids of a piece; those of spelled-out characters are kept, so that text full of delimiters stays cheap."""
        if len(piece) > 2 or not self._guarded_characters.issuperset(piece):
            return self.tokenizer.encode(piece, add_special_tokens=False).ids  # type: ignore[no-any-return]
        if piece not in self._spelled:
            self._spelled[piece] = self.tokenizer.encode(piece, add_special_tokens=False).ids
        return self._spelled[piece]

    def _pieces(self, head: str, user: str, tail: str) -> Iterator[str]:
        """head + user + tail, cut between the characters of each guarded string that stands in `user`."""
        text, start = head + user + tail, 0
        for cut in self._cuts(user):
            yield text[start : len(head) + cut]
            start = len(head) + cut
        yield text[start:]

    def _cuts(self, user: str) -> list[int]:
        if not self._guarded.search(user):
            return []
        inside = (range(at + 1, at + len(text)) for text in self._guarded_strings for at in _occurrences(user, text))
        return sorted({cut for cuts in inside for cut in cuts})


def _occurrences(text: str, wanted: str) -> Iterator[int]:
    at = text.find(wanted)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)


def _guarded_strings(prompt_format: PromptFormat, tokenizer: Tokenizer) -> list[str]:
    """The strings kept out of user text: both delimiters, and what the tokenizer gives an id of its own."""
    added = (token.content for token in tokenizer.get_added_tokens_decoder().values())
    guarded = dict.fromkeys([prompt_format.open, prompt_format.close, *(text for text in added if not text.isspace())])
    for text in guarded:
        if len(tokenizer.encode(text, add_special_tokens=False).ids) >= len(text):
            raise ContractError(
                f"The tokenizer writes {text!r} character by character, so it cannot be kept out of user text; "
                "use a tokenizer that has a longer token in it."
            )
    return list(guarded)
