"""How many prompt tokens an engine holds that it has not computed yet, and whether there is room for more."""

from __future__ import annotations

_LONG_PART = 2  # a document of more than one part in so many of the room is long
_MOST_LONG = 4


class TokenRoom:
    """Room for `most` tokens; a document may be added while fewer are taken, however many it has.

    Long documents are computed piece by piece, and others in between. So they take no room from those, but there may
    only be a few of them at a time. A document of a call that goes behind others is added only while fewer than
    `behind` tokens are taken; where small calls come and go, one of a larger call while fewer than halfway from there
    to `most` are, so that the next small call finds less before it.
    """

    def __init__(self, most: int, behind: int) -> None:
        self._most = most
        self._behind = behind
        self._taken = 0
        self._long = 0

    @property
    def full(self) -> bool:
        """True when no document may be added, however few tokens it has."""
        return self._taken >= self._most

    def for_one(self, tokens: int, *, behind: bool, reserved: bool = False) -> bool:
        """True when a document of so many tokens may be added. `reserved`: some room is kept for small calls."""
        most = (self._most + self._behind) // 2 if reserved else self._most
        if self._taken >= (self._behind if behind else most):
            return False
        return not self._is_long(tokens) or self._long < _MOST_LONG

    def take(self, tokens: int) -> None:
        """A document of so many tokens was added."""
        self._change(tokens, 1)

    def give_back(self, tokens: int) -> None:
        """A document of so many tokens is computed, or gone."""
        self._change(tokens, -1)

    def _change(self, tokens: int, by: int) -> None:
        if self._is_long(tokens):
            self._long += by
        else:
            self._taken += by * tokens

    def _is_long(self, tokens: int) -> bool:
        return tokens > self._most // _LONG_PART
