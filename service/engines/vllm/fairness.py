"""What each call has in vLLM and has had of it: who must leave room for whom.

Least attained service first (Kleinrock, 1976), with one step between first and later: a call is new until it was
served `first_tokens`, which is more than most calls need, and goes ahead of those that have had theirs. Otherwise a
call of ten documents would take turns with one of a thousand, and steps full of the large one's prompts would make
every token of the small one's traces slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from service.engine import AGEING_SECONDS
from service.engines.causal.sequences import Document


@dataclass(slots=True)
class _Share:
    """`left`: documents without a verdict; `flights`: those of them in vLLM; `served`: prompt tokens given to vLLM."""

    priority: int
    left: int = 0
    flights: int = 0
    served: int = 0


class CallShares:
    def __init__(self, first_tokens: int) -> None:
        self._first_tokens = first_tokens
        self._calls: dict[str, _Share] = {}

    def added(self, documents: Sequence[Document]) -> None:
        for document in documents:
            self._calls.setdefault(document.call, _Share(document.priority)).left += 1

    def departed(self, document: Document, tokens: int) -> None:
        """It was given to vLLM, which has to compute `tokens` for it."""
        share = self._calls[document.call]
        share.flights += 1
        share.served += tokens

    def ended(self, document: Document) -> None:
        """It has come back from vLLM."""
        self._calls[document.call].flights -= 1
        self.dropped([document])

    def dropped(self, documents: Sequence[Document]) -> None:
        """They will not be given to vLLM."""
        for document in documents:
            share = self._calls[document.call]
            share.left -= 1
            if not share.left:
                del self._calls[document.call]

    def in_flight(self, call: str) -> bool:
        share = self._calls.get(call)
        return share is not None and share.flights > 0

    @property
    def first_of_the_new(self) -> float:
        """The best priority among the calls that are new; infinite when none is."""
        return min((share.priority for share in self._calls.values() if self._is_new(share)), default=inf)

    def goes_behind(self, document: Document, first_of_the_new: float, now: float) -> bool:
        """Whether a new call of its class or a better one goes ahead of it; not for longer than a class ages."""
        if self._is_new(self._calls[document.call]) or now - document.arrived >= AGEING_SECONDS:
            return False
        return first_of_the_new <= document.priority

    def _is_new(self, share: _Share) -> bool:
        return share.served <= self._first_tokens
