"""Requests that wait for their batch, in the order in which the engine received them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from service.engines.causal.requests import Request
from service.engines.submission import Submission


class WaitingRequests:
    """First come, first served, because the service's queue decided the order before. There are two exceptions.

    Requests with a near deadline go first. Requests that take several batches go behind the others after each batch, so
    that they delay requests that fit into one batch by at most one batch.
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
        """Lets a request go before all that are not hurried."""
        del self._usual[request]
        self._hurried[request] = None

    def put_behind(self, requests: Iterable[Request]) -> None:
        """Puts the waiting ones of `requests` behind the others, in order."""
        for request in requests:
            line = self._hurried if request in self._hurried else self._usual
            if request in line:
                line[request] = line.pop(request)

    def discard(self, submission: Submission) -> list[Request]:
        """Removes all requests of a submission and returns them."""
        gone = [request for request in self if request.submission is submission]
        for request in gone:
            self.remove(request)
        return gone

    def next(self, allowed: Callable[[Request], bool]) -> Request | None:
        """The next request that is `allowed`, without removing it."""
        return next(filter(allowed, self), None)
