"""Plans the next batch: requests in waiting order, up to a number of tokens, as chunks for the model.

Worked example with batches of 1536 tokens. Three requests of one call wait: a prefix P of 300 tokens, not computed yet,
and rests A, B and C of 200, 400 and 900 tokens; each is followed by the end-of-think tag of 3 tokens.

    chunk 0   P             300 tokens   `keep`: extends P's cache from 0 to 300
    chunk 1   A + tag       203          after P's cache, which it does not extend; its hidden state gives A's answer
    chunk 2   B + tag       403          the same; 630 tokens are left, but C and its tag need 903 ...

... so the batch ends here with 906 tokens, and C starts the next one, together with new arrivals. If P had 2000 tokens,
the first batch would be the first 1536 of them alone. Its requests would then go behind the others, and the second
batch would compute the missing 464 before A and B, unless other requests arrived meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.engines.causal.requests import Request
from service.engines.submission import Submission
from service.engines.transformers.attention import Chunk
from service.engines.transformers.kv_cache import DecodeCache, KVCache
from service.engines.transformers.prefix_cache import Held, Need, Prefix, PrefixCache
from service.engines.transformers.waiting import WaitingRequests

_MOST_LONG_REQUESTS = 4  # requests longer than a batch that may run at once, each with its own cache


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`batch_tokens`: about this many tokens go through the model at once. At most `generations` sequences are decoded
    together, in `decode_bytes` of keys and values."""

    batch_tokens: int
    generations: int
    decode_bytes: int


@dataclass(frozen=True, slots=True)
class Ending:
    """A request whose last tokens are in the batch, in chunk number `chunk`; they follow those of `cache`."""

    request: Request
    chunk: int
    cache: KVCache


@dataclass(slots=True)
class Batch:
    """`chunks` are in the order of computation. `parts` are requests of which only a part is in the batch; `prefixes`
    are those computed in it."""

    chunks: list[Chunk] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    parts: list[Request] = field(default_factory=list)
    prefixes: list[Prefix] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(len(chunk.ids) for chunk in self.chunks)

    @property
    def requests(self) -> list[Request]:
        return [ending.request for ending in self.endings] + self.parts

    @property
    def rows(self) -> list[int]:
        """Rows of the decode cache that the batch fills."""
        return [chunk.row for chunk in self.chunks if chunk.row is not None]


class Scheduler:
    """Turns the head of `waiting` into batches. A request leaves it when its last token is planned."""

    def __init__(
        self, waiting: WaitingRequests, prefixes: PrefixCache, decode_cache: DecodeCache, limits: BatchLimits
    ) -> None:
        self._waiting = waiting
        self._prefixes = prefixes
        self._decode_cache = decode_cache
        self._limits = limits
        self.batch_tokens = limits.batch_tokens
        self._long: dict[Request, KVCache] = {}
        self._held = Held([], [])
        self._took_a_batch: tuple[int, ...] | None = None  # the incomplete prefix that had the last batch to itself

    def plan(self) -> Batch | None:
        """The next batch; None when no request can be taken now."""
        self._let_others_by()
        batch = Batch()
        room = self._limits.batch_tokens
        needs = self._needs()
        while room > 0 and (request := self._next(needs)):
            prefix = self._prefixes.get(request.prefix)
            if batch.chunks and prefix.missing + self._tokens(request) > room:
                break
            room -= self._place(request, prefix, batch, room)
        self._prefixes.trim(self._needs())
        return batch if batch.chunks else None

    def missing(self, prefix: tuple[int, ...]) -> int:
        """Tokens of the prefix that no batch has computed."""
        return self._prefixes.missing(prefix)

    def abandon(self, batch: Batch) -> list[Request]:
        """Undoes a batch whose pass failed; returns its requests."""
        for row in reversed(batch.rows):
            self._decode_cache.drop(row)
        for prefix in batch.prefixes:
            self._prefixes.forget(tuple(prefix.ids))
        for request in batch.parts:
            self._waiting.remove(request)
        for request in batch.requests:
            self._long.pop(request, None)
        return batch.requests

    def discard(self, submission: Submission) -> None:
        """Drops the requests of a submission."""
        for request in self._waiting.discard(submission):
            self._long.pop(request, None)

    def _let_others_by(self) -> None:
        """Puts the requests of a prefix that takes several batches behind the others, unless all others are of a lower
        class."""
        if self._took_a_batch is not None:
            its = [each for each in self._waiting if each.prefix == self._took_a_batch]
            best = min((each.priority for each in its), default=0)
            if any(each.priority <= best for each in self._waiting if each.prefix != self._took_a_batch):
                self._waiting.put_behind(its)
            self._took_a_batch = None

    def _next(self, needs: Mapping[tuple[int, ...], Need]) -> Request | None:
        self._held = self._prefixes.held(needs, self._limits.batch_tokens)
        return self._waiting.next(self._may_start)

    def _needs(self) -> dict[tuple[int, ...], Need]:
        """The prefixes that waiting requests need."""
        needs: dict[tuple[int, ...], Need] = {}
        for request in self._waiting:
            need = needs.setdefault(request.prefix, Need(request.priority, ready=False))
            need.priority = min(need.priority, request.priority)
            need.ready = need.ready or self._has_room(request)
        return needs

    def _may_start(self, request: Request) -> bool:
        """True when something can be planned for the request. A prefix once begun is always completed."""
        prefix = self._prefixes.peek(request.prefix)
        if prefix is not None and prefix.begun:
            return True
        if not self._has_room(request):
            return False
        if (prefix is not None and prefix.planned) or not request.prefix:
            return True
        short = len(request.prefix) <= self._limits.batch_tokens
        return self._prefixes.may_begin(request.prefix, request.priority, self._held, short=short)

    def _has_room(self, request: Request) -> bool:
        """True when there is room for the request itself, apart from its prefix."""
        is_long = self._tokens(request) > self._limits.batch_tokens
        if is_long and request not in self._long and len(self._long) >= _MOST_LONG_REQUESTS:
            return False
        if not request.budget or not self._decode_cache.count:
            return True
        size = self._decode_cache.size_with(1, self._row_tokens(request))
        return self._decode_cache.count < self._limits.generations and size <= self._limits.decode_bytes

    def _tokens(self, request: Request) -> int:
        """Tokens of the request itself that must go through the model before its answers can be read or its reasoning
        begins."""
        return request.left + (0 if request.budget else len(request.closing))

    def _row_tokens(self, request: Request) -> int:
        """Tokens that it needs in a row of the decode cache: the end of its rest, and what is generated."""
        return min(request.left, self._limits.batch_tokens) + request.budget + len(request.closing)

    def _place(self, request: Request, prefix: Prefix, batch: Batch, room: int) -> int:
        """Plans what is missing of the prefix and, if it then fits, the request; a request longer than a batch is
        planned in parts. Returns the number of tokens planned."""
        placed = self._place_prefix(request, prefix, batch, room)
        tokens = self._tokens(request)
        has_room = self._has_room(request)  # otherwise only its prefix is completed
        if has_room and not prefix.missing and tokens <= room - placed:
            prefix.served += tokens
            self._place_end(request, prefix, batch)
            return placed + tokens
        batch.parts.append(request)
        if has_room and prefix.computed and tokens > self._limits.batch_tokens:
            self._place_part(request, prefix, batch)
        if prefix.missing:
            self._took_a_batch = request.prefix
        return room  # nothing else fits after it

    def _place_prefix(self, request: Request, prefix: Prefix, batch: Batch, room: int) -> int:
        ids = prefix.plan(room)
        if ids:
            batch.chunks.append(Chunk(prefix.cache, ids, keep=True))
            batch.prefixes.append(prefix)
        request.prefix_computed += len(ids)
        return len(ids)

    def _place_end(self, request: Request, prefix: Prefix, batch: Batch) -> None:
        cache = self._long.pop(request, prefix.cache)
        ids = [*request.rest[request.done :], *(() if request.budget else request.closing)]
        row = self._decode_cache.add(self._row_tokens(request)) if request.budget else None
        batch.endings.append(Ending(request, len(batch.chunks), cache))
        batch.chunks.append(Chunk(cache, ids, row=row))
        self._waiting.remove(request)

    def _place_part(self, request: Request, prefix: Prefix, batch: Batch) -> None:
        """Plans the first batch of the request, into its own cache."""
        cache = self._long.get(request)
        if cache is None:
            cache = self._long[request] = prefix.cache.copy(self._tokens(request))
        ids = request.rest[request.done : request.done + self._limits.batch_tokens]
        prefix.served += len(ids)
        batch.chunks.append(Chunk(cache, ids, keep=True))
        request.done += len(ids)
        self._waiting.put_behind([request])
