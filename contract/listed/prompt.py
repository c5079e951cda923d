"""The prompt of a model that reads several passages, each under a letter, and answers with letters.

    Query: how is gout treated
    Passages:
    A: Gout causes sudden pain.
    B: Gout is treated with colchicine.
    The most relevant passage is B                               (setwise)
    The passages from most to least relevant are B > A           (listwise)

Every piece is encoded alone and the ids are joined, so that training and scoring have the same ids. Passages that are
too long for their share of the tokens are cut at their ends; the share that a short one leaves goes to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from contract.formats.tokenizer import ContractError, Tokenizer
from contract.listed.rows import ListKind
from contract.prompt import Guard

MOST_PASSAGES = len(ascii_uppercase)
LEAST_TOKENS = 8  # of a passage that must be cut
_TAILS = {
    ListKind.SETWISE: "\nThe most relevant passage is",
    ListKind.LISTWISE: "\nThe passages from most to least relevant are",
}


class ListPrompt:
    """Encodes the prompts of one kind with one tokenizer. `letters` are the ids of the answer's letters in order,
    `separator` the ids between two of them."""

    def __init__(self, kind: ListKind, tokenizer: Tokenizer) -> None:
        """Raises ContractError for a tokenizer to which a letter behind a space is not one token."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.kind = kind
        self._tokenizer = tokenizer
        self._guard = Guard(tokenizer)
        self.letters = tuple(self._letter(letter) for letter in ascii_uppercase)
        self.separator = tuple(self._ids(" >"))

    def ids(self, query: str, passages: Sequence[str], instruction: str | None, tokens: int) -> tuple[list[int], bool]:
        """The ids of a prompt of at most `tokens`, to which the answer is appended; and whether a passage is cut.

        Raises ContractError for more passages than there are letters, and where less than LEAST_TOKENS are left to each
        passage that is cut.
        """
        if len(passages) > MOST_PASSAGES:
            raise ContractError(f"There are {len(passages)} passages, more than the {MOST_PASSAGES} letters.")
        asked = f"Query: {self._guard.bare(query)}\n"
        if instruction is not None:
            asked += f"Instruction: {self._guard.bare(instruction)}\n"
        head, tail = self._ids(f"{asked}Passages:"), self._ids(_TAILS[self.kind])
        leads = [self._ids(f"\n{letter}:") for letter, _ in zip(ascii_uppercase, passages, strict=False)]
        texts = [self._ids(f" {self._guard.bare(passage)}") for passage in passages]
        room = tokens - len(head) - len(tail) - sum(map(len, leads))
        longest = _share(sorted(map(len, texts)), room)
        cut = any(len(text) > longest for text in texts)
        if cut and longest < LEAST_TOKENS:
            raise ContractError(
                f"The query and {len(passages)} passages leave {max(longest, 0)} of {tokens} tokens to each passage, "
                f"and at least {LEAST_TOKENS} are needed; allow more tokens or fewer passages."
            )
        parts = [[*lead, *text[:longest]] for lead, text in zip(leads, texts, strict=True)]
        return [*head, *(token for part in parts for token in part), *tail], cut

    def answer(self, ranking: Sequence[int]) -> list[int]:
        """The ids of a listwise answer: the letters in order, with separators between them."""
        joined: list[int] = []
        for index in ranking:
            joined += [*(self.separator if joined else ()), self.letters[index]]
        return joined

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _letter(self, letter: str) -> int:
        found = self._ids(f" {letter}")
        if len(found) != 1:
            raise ContractError(f"To this tokenizer {f' {letter}'!r} is {len(found)} tokens, and one is needed.")
        return found[0]


def _share(lengths: Sequence[int], room: int) -> int:
    """The longest length at which texts of `lengths` (ascending), cut to it, fit into `room` together."""
    for place, length in enumerate(lengths):
        share = room // (len(lengths) - place)
        if length > share:
            return share
        room -= length
    return lengths[-1]
