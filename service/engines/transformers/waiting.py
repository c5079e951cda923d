"""Requests that wait for their batch, in the order in which the engine was handed them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from service.engines.causal.requests import Request, Submission


class WaitingRequests:
    """First come, first served: whose turn it is was decided before. Two exceptions are made here.

    What a deadline hurries goes first, and what takes several batches goes behind the others after each, so that it
    holds up what fits into one by a batch at a time.
    """

    def __init__(self) -> None:
        self._hurried: dict[Request, None] = {}
        self._usual: dict[Request, None] = {}

    def __len__(self) -> int:
        return len(self._hurried) + len(self._usual)

    def __iter__(self) -> Iterator[Request]:
        yield from self._hurried
        yield from self._usual

    def add(self, requests: Iterable[Request]) -> None:
        self._usual.update(dict.fromkeys(requests))

    def remove(self, request: Request) -> None:
        (self._hurried if request in self._hurried else self._usual).pop(request)

    def hurry(self, request: Request) -> None:
        """Let a request go before all that are not hurried."""
        del self._usual[request]
        self._hurried[request] = None

    def put_behind(self, requests: Iterable[Request]) -> None:
        """Let those of `requests` that wait go behind the others, in their order."""
        for request in requests:
            line = self._hurried if request in self._hurried else self._usual
            if request in line:
                line[request] = line.pop(request)

    def discard(self, submission: Submission) -> list[Request]:
        """Take out all requests of a submission; returns them."""
        gone = [request for request in self if request.submission is submission]
        for request in gone:
            self.remove(request)
        return gone

    def next(self, allowed: Callable[[Request], bool]) -> Request | None:
        """The next request that is `allowed`; it stays here."""
        return next(filter(allowed, self), None)
