"""The one encoding of user text into a prompt.

User text is data. A delimiter or special string of the tokenizer in a query, an instruction or a passage is broken up:
a space after its first character and one before its last keep both its ids and its last token out of the user's span.
All other text is encoded exactly as in the reference. (Encoding such a string in parts would also keep its ids out, but
leaves the `>` after which a model has learned to expect a verdict: docs/lab-log.md.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from contract.formats.prompt_format import LIMRANK, PromptFormat
from contract.formats.template import Around, completable
from contract.formats.tokenizer import ContractError, Encoding, Tokenizer, ids_of_text

__all__ = [
    "LIMRANK",
    "Behind",
    "ContractError",
    "Encoding",
    "Guard",
    "PromptEncoder",
    "PromptFormat",
    "Tokenizer",
]


@dataclass(frozen=True, slots=True)
class Behind:
    """How a passage is encoded and what follows it: the string `lead` + passage + `trail`, then the ids `after`."""

    lead: str
    trail: str
    after: tuple[int, ...]

    @property
    def passage_begins(self) -> int:
        """Tokens that end before this character belong to the lead. A space directly before the passage belongs to the
        passage."""
        return len(self.lead.rstrip(" "))


class Guard:
    """Keeps delimiters and the tokenizer's special strings out of user text. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, delimiters: Sequence[str] = (), *, added: bool = True) -> None:
        """`added`: guard every added token of the tokenizer, otherwise only those that it flags special.

        Raises ContractError for a string that spaces cannot break up.
        """
        self._tokenizer = tokenizer
        self.strings: Sequence[str] = _guarded_strings(tokenizer, delimiters, added)
        self._pattern = re.compile("|".join(map(re.escape, self.strings)) if self.strings else r"(?!)")

    def bare(self, text: str) -> str:
        """Breaks up guarded strings in the text or its normal form; other text is returned unchanged."""
        text = self._broken(text)
        normal = self._normal(text)  # which the tokenizer makes itself, so it is taken only where it hides one
        return text if normal is text or not self._pattern.search(normal) else self._broken(normal)

    def first_in(self, text: str) -> str | None:
        """The first guarded string in a text or its normal form."""
        found = self._pattern.search(text) or self._pattern.search(self._normal(text))
        return None if found is None else found.group()

    def _broken(self, text: str) -> str:
        while self._pattern.search(text):  # repeat: guarded strings may overlap
            text = self._pattern.sub(_broken_up, text)
        return text

    def _normal(self, text: str) -> str:
        if text.isascii() or self._tokenizer.normalizer is None:
            return text
        normal: str = self._tokenizer.normalizer.normalize_str(text)
        return normal


class PromptEncoder:
    """Encodes prompts of one format with one tokenizer. Thread-safe."""

    def __init__(self, prompt_format: PromptFormat, tokenizer: Tokenizer) -> None:
        """Raises ContractError when the tokenizer lacks a special string of the format, when a string to be kept out of
        user text cannot be broken up, or when a user text could complete one with the format's own text beside it.

        Switches off truncation and padding in the tokenizer: truncation is decided and reported here, and with padding
        a passage's ids would depend on the longest one in its batch.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.format = prompt_format
        self.tokenizer = tokenizer
        _check_special(prompt_format, tokenizer)
        own = [text for text in (prompt_format.open, prompt_format.close) if text]
        strings = (*own, *prompt_format.special, *prompt_format.delimiters)
        self._guard = Guard(tokenizer, strings, added=prompt_format.guard_added)
        _check_seams(prompt_format, self._guard.strings)
        self._behind = self._behind_of(prompt_format.around("")) if prompt_format.same_behind else None

    def prefix(self, query: str, instruction: str | None = None) -> list[int]:
        """Ids of everything before the passage's own piece, which all passages of a call share."""
        before = self._around(query, instruction).before
        return [token for text in before for token in ids_of_text(self.tokenizer, text)]

    def behind(self, query: str, instruction: str | None = None) -> Behind:
        """The text around the passages of a call, and the ids after them."""
        return self._behind or self._behind_of(self._around(query, instruction))

    def rests(self, passages: Sequence[str], behind: Behind | None = None) -> list[list[int]]:
        """Ids of each passage and everything after it; prefix + rest are the ids of the whole prompt.

        `behind` is that of the call; None when it is the same for every call. Raises ContractError when it is not.
        """
        behind = behind or self._same_behind()
        texts = [f"{behind.lead}{self.bare(passage)}{behind.trail}" for passage in passages]
        encoded = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)  # without offsets
        return [[*each.ids, *behind.after] for each in encoded]

    def passage_offsets(self, passage: str, behind: Behind | None = None) -> list[tuple[int, int]]:
        """The (start, end) characters in `bare(passage)` that each token of the passage covers."""
        behind = behind or self._same_behind()
        lead = len(behind.lead)
        encoded = self.tokenizer.encode(behind.lead + self.bare(passage), add_special_tokens=False)
        own = [(start, end) for start, end in encoded.offsets if end > behind.passage_begins]
        return [(max(start - lead, 0), max(end - lead, 0)) for start, end in own]

    def bare(self, text: str) -> str:
        """User text as it is encoded: unchanged, unless it or its normal form contains a guarded string."""
        return self._guard.bare(text)

    def control_string(self, text: str) -> str | None:
        """The first delimiter or special string of the tokenizer in a text, which must not be encoded as it is."""
        return self._guard.first_in(text)

    def _around(self, query: str, instruction: str | None) -> Around:
        return self.format.around(self.bare(query), None if instruction is None else self.bare(instruction))

    def _behind_of(self, around: Around) -> Behind:
        after = tuple(token for text in around.after for token in ids_of_text(self.tokenizer, text))
        return Behind(around.lead, around.trail, after)

    def _same_behind(self) -> Behind:
        if self._behind is None:
            raise ContractError(f"In the format {self.format.name!r} the text behind a passage depends on the query.")
        return self._behind


def _broken_up(match: re.Match[str]) -> str:
    text = match.group()
    return f"{text[0]} {text[1:-1]} {text[-1]}"


def _check_special(prompt_format: PromptFormat, tokenizer: Tokenizer) -> None:
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    if missing := [text for text in prompt_format.special if text not in added]:
        raise ContractError(
            f"The format {prompt_format.name!r} is written with {missing[0]!r}, which this tokenizer does not have as "
            "a token of its own; serve the model with its own tokenizer, or with the format it was trained on."
        )


def _check_seams(prompt_format: PromptFormat, strings: Sequence[str]) -> None:
    """Each text is broken up on its own, so none may become a control string together with what stands beside it."""
    forms = (prompt_format.prompt, prompt_format.prompt_without_instruction, prompt_format.pieces("stated"))
    for form in forms:
        if found := completable(form, strings):
            slot, text = found
            raise ContractError(
                f"In the format {prompt_format.name!r} a text in {{{slot}}} could complete the control string {text!r} "
                "together with what stands beside it; put a space between, or write the two as parts of their own, "
                "which are encoded apart."
            )


def _guarded_strings(tokenizer: Tokenizer, delimiters: Sequence[str], every: bool) -> list[str]:
    """The strings kept out of user text: the delimiters and the tokenizer's added tokens."""
    tokens = tokenizer.get_added_tokens_decoder().values()
    added = (token.content for token in tokens if every or token.special)
    guarded = dict.fromkeys([*delimiters, *(text for text in added if not text.isspace())])
    for text in guarded:
        if len(text) < 2 or " " in text:
            raise ContractError(
                f"{text!r} cannot be kept out of user text by spaces; use a tokenizer whose special strings have at "
                "least two characters and no space."
            )
    return list(guarded)
