"""Keys and values of shared prefixes, kept while they are used and as long as there is room for them.

Worked out, for a limit of 5825 tokens (a model of 135 million parameters in 256 MiB) and batches of 1536. Requests of
three calls wait, whose prefixes A, B and C have 3000, 3500 and 400 tokens.

    batch 1   A is begun: `planned` 1536 of 3000. From now on it is held, since a request waits for it and it is begun.
    batch 2   B may not begin: a long prefix of the same urgency is begun. C may: it is short, which a single batch
              completes, and short ones compete with their like only. C's keys and values are computed, then A goes on.
    later     A is complete, and held until the requests behind it took 4 times its 3000 tokens (`served`), or none of
              them waits. B may begin then, as A and B do not fit into 5825 together and A is not held any more;
              `trim` gives A up. Were the limit 7000, B would begin as soon as A is complete, beside it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.engines.transformers.kv_cache import KVCache

_MOST_PREFIXES = 1024  # also those of which nothing is computed yet
_WORTH = 4  # a prefix is held until its documents took so many times its own tokens


@dataclass(slots=True)
class Need:
    """Documents that wait for a prefix. `priority` is that of the most urgent; `ready`: one of them may run now."""

    priority: int
    ready: bool


@dataclass(eq=False, slots=True)
class Prefix:
    """A prefix by its ids. `cache` holds the first of them that are computed; `planned` counts these and those that
    the batch in the making computes; `served` counts the tokens of documents that were planned behind it."""

    ids: Sequence[int]
    cache: KVCache
    planned: int = 0
    served: int = 0

    @property
    def missing(self) -> int:
        """How many tokens are neither computed nor planned."""
        return len(self.ids) - self.planned

    @property
    def computed(self) -> bool:
        return self.cache.length == len(self.ids)

    @property
    def begun(self) -> bool:
        """True when some of its tokens, and not all, are computed or planned."""
        return 0 < self.planned < len(self.ids)

    @property
    def size(self) -> int:
        """Bytes held once all is computed."""
        return max(self.cache.size, len(self.ids) * self.cache.shape.bytes_per_token)

    def plan(self, count: int) -> Sequence[int]:
        """The next `count` ids, from now on planned."""
        ids = self.ids[self.planned : self.planned + count]
        self.planned += len(ids)
        return ids


@dataclass(frozen=True, slots=True)
class Held:
    """Prefixes that must stay, each with the priority of the most urgent document that waits for it."""

    short: list[tuple[Prefix, int]]
    long: list[tuple[Prefix, int]]


class PrefixCache:
    """Prefixes by their ids, the least recently used given up first once they hold more than `limit` bytes.

    A prefix that is begun and still needed is never given up, and a complete one only when nothing needs it now or it
    has paid for itself: these are held. `may_begin` keeps the held ones within the limit, except for one prefix that
    alone exceeds it and for short prefixes, which may take up to the limit once more.
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
        """The prefix with these ids, if there is one; this is no use of it."""
        return self._prefixes.get(ids)

    def missing(self, ids: tuple[int, ...]) -> int:
        """How many tokens of the prefix with these ids are neither computed nor planned."""
        prefix = self._prefixes.get(ids)
        return len(ids) if prefix is None else prefix.missing

    def get(self, ids: tuple[int, ...]) -> Prefix:
        """The prefix with these ids; a new and empty one where there is none."""
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
        """True when a prefix of which nothing is planned may be begun beside those that are held.

        A short one, which a single batch completes, competes with its like only, so that it need not wait for long
        ones. Of the long ones, one is completed before another of the same urgency is begun.
        """
        if short:
            return self._fits(ids, held.short)
        if any(prefix.begun and other <= priority for prefix, other in held.long):
            return False
        return not held.long or self._fits(ids, held.short + held.long)

    def trim(self, needs: Mapping[tuple[int, ...], Need] | None = None) -> None:
        """Give up prefixes until the limit is kept, those that no document waits for first; the one used last and
        those that are held always stay."""
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
