"""A cache of the keys and values of shared prefixes, kept while they are used and while there is room.

Worked example with a limit of 5825 tokens (a model of 135 million parameters in 256 MiB) and batches of 1536. Requests
of three calls wait; their prefixes A, B and C have 3000, 3500 and 400 tokens.

    batch 1   A begins: `planned` is 1536 of 3000. It is held from now on: it is begun and a request waits for it.
    batch 2   B must not begin, because a long prefix of the same priority is begun. C may: a prefix that fits into one
              batch is short, and short ones compete only with each other. C is computed, then A continues.
    later     A is complete. It stays held until the requests after it took 4 times its 3000 tokens (`served`), or none
              of them waits. Then B may begin: A and B together exceed 5825 tokens, but A is not held any more, so
              `trim` evicts it. With a limit of 7000, B would begin as soon as A is complete.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.engines.transformers.kv_cache import KVCache

_MOST_PREFIXES = 1024  # including those of which nothing is computed yet
_WORTH = 4  # a prefix is held until its documents took this many times its own tokens


@dataclass(slots=True)
class Need:
    """Documents that wait for a prefix. `priority` is that of the most urgent; with `ready` one of them can run now."""

    priority: int
    ready: bool


@dataclass(eq=False, slots=True)
class Prefix:
    """A prefix, identified by its ids. `cache` holds the computed ones; `planned` also counts those that the batch
    being planned computes; `served` counts the tokens of documents planned after it."""

    ids: Sequence[int]
    cache: KVCache
    planned: int = 0
    served: int = 0

    @property
    def missing(self) -> int:
        """Tokens that are neither computed nor planned."""
        return len(self.ids) - self.planned

    @property
    def computed(self) -> bool:
        return self.cache.length == len(self.ids)

    @property
    def begun(self) -> bool:
        """True when some of its tokens, but not all, are computed or planned."""
        return 0 < self.planned < len(self.ids)

    @property
    def size(self) -> int:
        """Bytes held once all is computed."""
        return max(self.cache.size, len(self.ids) * self.cache.shape.bytes_per_token)

    def plan(self, count: int) -> Sequence[int]:
        """Marks the next `count` ids as planned and returns them."""
        ids = self.ids[self.planned : self.planned + count]
        self.planned += len(ids)
        return ids


@dataclass(frozen=True, slots=True)
class Held:
    """Prefixes that must stay, each with the priority of the most urgent document that waits for it."""

    short: list[tuple[Prefix, int]]
    long: list[tuple[Prefix, int]]


class PrefixCache:
    """Prefixes by their ids. Above `limit` bytes the least recently used is evicted first.

    A prefix that is begun and still needed is never evicted; a complete one only when nothing needs it now or it has
    paid for itself. These are the held ones. `may_begin` keeps them within the limit, except for one prefix that alone
    exceeds it, and for short prefixes, which may take up to the limit once more.
    """

    def __init__(self, limit: int, new_cache: Callable[[], KVCache]) -> None:
        self._limit = limit
        self._new_cache = new_cache
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._prefixes)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(prefix.cache.size for prefix in self._prefixes.values())

    def peek(self, ids: tuple[int, ...]) -> Prefix | None:
        """The prefix with these ids, or None. Does not count as a use."""
        return self._prefixes.get(ids)

    def missing(self, ids: tuple[int, ...]) -> int:
        """Tokens of the prefix with these ids that are neither computed nor planned."""
        prefix = self._prefixes.get(ids)
        return len(ids) if prefix is None else prefix.missing

    def get(self, ids: tuple[int, ...]) -> Prefix:
        """The prefix with these ids; creates an empty one if there is none."""
        prefix = self._prefixes.get(ids)
        if prefix is None:
            prefix = self._prefixes[ids] = Prefix(ids, self._new_cache())
        self._prefixes.move_to_end(ids)
        return prefix

    def forget(self, ids: tuple[int, ...]) -> None:
        self._prefixes.pop(ids, None)

    def held(self, needs: Mapping[tuple[int, ...], Need], short_tokens: int) -> Held:
        """The prefixes that are held; those of at most `short_tokens` are short."""
        held = Held([], [])
        for ids, prefix in self._held(needs).items():
            (held.short if len(ids) <= short_tokens else held.long).append((prefix, needs[ids].priority))
        return held

    def may_begin(self, ids: Sequence[int], priority: int, held: Held, *, short: bool) -> bool:
        """True when a prefix of which nothing is planned may begin beside the held ones.

        A short one, which a single batch completes, competes only with other short ones, so that it does not wait for
        long ones. A long one is completed before another of the same priority begins.
        """
        if short:
            return self._fits(ids, held.short)
        if any(prefix.begun and other <= priority for prefix, other in held.long):
            return False
        return not held.long or self._fits(ids, held.short + held.long)

    def trim(self, needs: Mapping[tuple[int, ...], Need] | None = None) -> None:
        """Evicts prefixes until the limit is kept, beginning with those that no document waits for. The last used one
        and the held ones always stay."""
        if not self._exceeded():
            return
        needs = needs or {}
        last = next(reversed(self._prefixes))
        held = self._held(needs)
        free = [ids for ids in self._prefixes if ids != last and ids not in held]
        for ids in sorted(free, key=needs.__contains__):  # stable: keeps the order of use
            if not self._exceeded():
                return
            del self._prefixes[ids]

    def _exceeded(self) -> bool:
        return len(self._prefixes) > 1 and (self.size > self._limit or len(self._prefixes) > _MOST_PREFIXES)

    def _fits(self, ids: Sequence[int], others: Sequence[tuple[Prefix, int]]) -> bool:
        """True when there is nothing else, or room for all."""
        if not others:
            return True
        bytes_per_token = others[0][0].cache.shape.bytes_per_token
        return sum(prefix.size for prefix, _ in others) + len(ids) * bytes_per_token <= self._limit

    def _held(self, needs: Mapping[tuple[int, ...], Need]) -> dict[tuple[int, ...], Prefix]:
        found = {ids: self._prefixes[ids] for ids in needs if ids in self._prefixes}
        return {ids: prefix for ids, prefix in found.items() if _is_held(prefix, needs[ids])}


def _is_held(prefix: Prefix, need: Need) -> bool:
    if prefix.begun:
        return True
    return prefix.planned > 0 and need.ready and prefix.served < _WORTH * len(prefix.ids)
