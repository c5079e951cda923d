"""A key's limit in documents per minute: a bucket that holds one minute's documents and fills steadily."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import BodyTooLarge, TooManyRequests
from service.ranking import Key

# After exactly `retry_after` seconds a float sum may fall short by rounding.
_ROUNDING = 1e-3


@dataclass(slots=True)
class _Bucket:
    documents: float
    since: float


class RateLimiter:
    """One bucket per key name, shared by all secrets of that key. Runs on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: Key, documents: int) -> None:
        """Spend `documents` of the key's limit, all or nothing.

        Raises TooManyRequests with the exact seconds to wait, and BodyTooLarge for a call that no waiting would help.
        """
        limit = key.documents_per_minute
        if limit is None:
            return
        caller = "all callers together" if key.shared else f"the key {key.name!r}"
        if documents > limit:
            raise BodyTooLarge(
                f"The call has {documents} documents, but {caller} may send {limit} per minute; "
                f"send at most {limit} documents per call."
            )
        bucket = self._filled(key.name, limit)
        missing = documents - bucket.documents
        if missing > _ROUNDING:
            wait = missing * 60 / limit
            raise TooManyRequests(
                f"Of the {limit} documents per minute that {caller} may send, {int(bucket.documents)} are left; "
                f"retry this call of {documents} in {wait:.1f} s.",
                retry_after=wait,
            )
        bucket.documents = max(0.0, bucket.documents - documents)

    def give_back(self, key: Key, documents: int) -> None:
        """Undo a `take` of a call that was then refused for a reason that is not the key's."""
        limit = key.documents_per_minute
        if limit is not None:
            bucket = self._filled(key.name, limit)
            bucket.documents = min(limit, bucket.documents + documents)

    def _filled(self, name: str, limit: int) -> _Bucket:
        """The key's bucket as of now; a limit that was lowered meanwhile also lowers what is in it."""
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(limit, now))
        bucket.documents = min(limit, bucket.documents + (now - bucket.since) * limit / 60)
        bucket.since = now
        return bucket
