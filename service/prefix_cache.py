"""Keys and values of shared prefixes, kept while they are used and as long as there is room for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.key_values import KeyValues

_MOST_PREFIXES = 1024  # also those of which nothing is computed yet


@dataclass(eq=False, slots=True)
class Prefix:
    """A prefix by its ids. `cache` holds the first of them that are computed; `planned` counts these and those that
    the pack in the making computes."""

    ids: Sequence[int]
    cache: KeyValues
    planned: int = 0

    @property
    def missing(self) -> int:
        """How many tokens are neither computed nor planned."""
        return len(self.ids) - self.planned

    @property
    def computed(self) -> bool:
        return self.cache.length == len(self.ids)

    def plan(self, count: int) -> Sequence[int]:
        """The next `count` ids, from now on planned."""
        ids = self.ids[self.planned : self.planned + count]
        self.planned += len(ids)
        return ids


class PrefixCache:
    """Prefixes by their ids, the least recently used given up first once they hold more than `limit` bytes."""

    def __init__(self, limit: int, new_cache: Callable[[], KeyValues]) -> None:
        self._limit = limit
        self._new_cache = new_cache
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._prefixes)

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(prefix.cache.size for prefix in self._prefixes.values())

    def get(self, ids: tuple[int, ...]) -> Prefix:
        """The prefix with these ids; a new and empty one where there is none."""
        prefix = self._prefixes.get(ids)
        if prefix is None:
            prefix = self._prefixes[ids] = Prefix(ids, self._new_cache())
        self._prefixes.move_to_end(ids)
        return prefix

    def forget(self, ids: tuple[int, ...]) -> None:
        self._prefixes.pop(ids, None)

    def trim(self) -> None:
        """Give up prefixes until the limit is kept; the one used last always stays."""
        while len(self._prefixes) > 1 and (self.size > self._limit or len(self._prefixes) > _MOST_PREFIXES):
            self._prefixes.popitem(last=False)
