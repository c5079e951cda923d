"""The tokenizer interface of the contract, and its one error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol


class Encoding(Protocol):
    """One encoded string: `ids`, and the (start, end) characters that each id covers."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...


class Tokenizer(Protocol):
    """The part of `tokenizers.Tokenizer` that the contract uses. A tokenizer loaded from tokenizer.json conforms to
    it."""

    @property
    def normalizer(self) -> Any: ...
    @property
    def pre_tokenizer(self) -> Any: ...
    def encode(self, sequence: Any, *, add_special_tokens: bool = ...) -> Any: ...
    def encode_batch_fast(self, input: Any, *, add_special_tokens: bool = ...) -> Any: ...  # noqa: A002 - its name
    def decode(self, ids: Sequence[int], skip_special_tokens: bool = ...) -> str: ...
    def get_added_tokens_decoder(self) -> dict[int, Any]: ...
    def get_vocab(self, with_added_tokens: bool = ...) -> dict[str, int]: ...
    def no_truncation(self) -> None: ...
    def no_padding(self) -> None: ...


class ContractError(ValueError):
    """This tokenizer, format or text breaks the contract. The message says which one and why."""


def ids_of_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text encoded alone, without the tokenizer's special tokens around it."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def token_ends(tokenizer: Tokenizer, text: str) -> list[int]:
    """For each token of a text that is encoded alone the character behind it, none before an earlier one's."""
    offsets: list[tuple[int, int]] = tokenizer.encode(text, add_special_tokens=False).offsets
    return list(accumulate((end for _, end in offsets), max))
