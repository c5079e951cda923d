"""Which document is next: calls take turns, the first class of priority first, and in a call the shortest."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from service.engine import AGEING_SECONDS
from service.engines.causal.sequences import Document, Submission


@dataclass(slots=True)
class _Call:
    turn: int  # tokens left of its turn
    documents: list[Document] = field(default_factory=list)  # ascending by tokens left

    def class_at(self, now: float) -> int:
        waited = now - min(document.arrived for document in self.documents)
        return max(0, min(document.priority for document in self.documents) - int(waited / AGEING_SECONDS))


class DocumentQueue:
    """Documents that wait for their batch.

    Deficit round-robin (Shreedhar and Varghese, 1995): a call's turn lasts for `turn_tokens`, over several batches if
    need be, then it goes behind the others; what a call leaves of a batch the next ones fill. A turn is worth more
    than most calls, so that calls which come together end one by one, instead of all of them late.
    """

    def __init__(self, turn_tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._turn_tokens = turn_tokens
        self._clock = clock
        self._calls: dict[str, _Call] = {}  # in the order of their turns

    def __len__(self) -> int:
        return sum(len(call.documents) for call in self._calls.values())

    def __iter__(self) -> Iterator[Document]:
        return (document for call in self._calls.values() for document in call.documents)

    def add(self, documents: Iterable[Document]) -> None:
        for document in documents:
            call = self._calls.setdefault(document.call, _Call(self._turn_tokens))
            insort(call.documents, document, key=_tokens_left)

    def remove(self, document: Document) -> None:
        call = self._calls[document.call]
        call.documents.remove(document)
        if not call.documents:
            del self._calls[document.call]

    def discard(self, submission: Submission) -> list[Document]:
        """Take out all documents of a job; returns them."""
        gone = [document for document in self if document.submission is submission]
        for document in gone:
            self.remove(document)
        return gone

    def next(self, allowed: Callable[[Document], bool]) -> Document | None:
        """The next document that is `allowed`; it stays in the queue."""
        now = self._clock()
        for name in sorted(self._calls, key=lambda name: self._calls[name].class_at(now)):  # stable: keeps the turns
            for document in self._calls[name].documents:
                if allowed(document):
                    return document
        return None

    def charge(self, name: str, tokens: int) -> None:
        """A call was served `tokens`; one whose turn is over goes behind the others."""
        call = self._calls.get(name)
        if call is None:
            return
        call.turn -= tokens
        if call.turn <= 0:
            call.turn = self._turn_tokens
            self._calls[name] = self._calls.pop(name)


def _tokens_left(document: Document) -> int:
    return document.left
