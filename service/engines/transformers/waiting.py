"""Requests that wait for their batch, in the order in which the engine received them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from service.engines.causal.requests import Request
from service.engines.submission import Submission


class WaitingRequests:
    """First come, first served, because the service's queue decided the order before. There are three exceptions.

    Requests with a near deadline go first, then those of small calls (`Prompt.first`). Requests that take several
    batches go behind the others like them after each batch, so that they delay requests that fit into one batch by at
    most one batch.
    """

    def __init__(self) -> None:
        self._hurried: dict[Request, None] = {}
        self._small: dict[Request, None] = {}
        self._usual: dict[Request, None] = {}

    def __len__(self) -> int:
        return len(self._hurried) + len(self._small) + len(self._usual)

    def __iter__(self) -> Iterator[Request]:
        yield from self._hurried
        yield from self._small
        yield from self._usual

    def add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            (self._small if request.prompt.first else self._usual)[request] = None

    def remove(self, request: Request) -> None:
        self._line_of(request).pop(request)

    def hurry(self, request: Request) -> None:
        """Lets a request go before all that are not hurried."""
        self.remove(request)
        self._hurried[request] = None

    def put_behind(self, requests: Iterable[Request]) -> None:
        """Puts the waiting ones of `requests` behind the others like them, in order."""
        for request in requests:
            line = self._line_of(request)
            if request in line:
                line[request] = line.pop(request)

    def _line_of(self, request: Request) -> dict[Request, None]:
        if request in self._hurried:
            return self._hurried
        return self._small if request in self._small else self._usual

    def discard(self, submission: Submission) -> list[Request]:
        """Removes all requests of a submission and returns them."""
        gone = [request for request in self if request.submission is submission]
        for request in gone:
            self.remove(request)
        return gone

    def next(self, allowed: Callable[[Request], bool]) -> Request | None:
        """The next request that is `allowed`, without removing it."""
        return next(filter(allowed, self), None)
