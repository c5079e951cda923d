"""What the contract uses of a tokenizer, and the one error of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


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


def ids_of_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text encoded alone, without what the tokenizer would put around it."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
