"""Makes the next batch: documents in the order of the queue, up to a number of tokens, as segments for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.engines.causal.queue import DocumentQueue
from service.engines.causal.sequences import Document, Submission
from service.engines.transformers.attention import Segment
from service.engines.transformers.kv_cache import KeyValues, TraceSlots
from service.engines.transformers.prefix_cache import Held, Need, Prefix, PrefixCache

_MOST_LONG_DOCUMENTS = 4  # documents longer than a batch that may be under way, each with a cache of its own


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`batch_tokens`: about so many tokens go through the model at once; `traces` are written together at most, in
    `trace_bytes` of keys and values."""

    batch_tokens: int
    traces: int
    trace_bytes: int


@dataclass(frozen=True, slots=True)
class Ending:
    """A document whose last tokens are in the pack, in segment number `segment`; they follow those of `cache`."""

    document: Document
    segment: int
    cache: KeyValues


@dataclass(slots=True)
class Pack:
    segments: list[Segment] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    parts: list[Document] = field(default_factory=list)  # documents of which only a part is in the pack
    prefixes: list[Prefix] = field(default_factory=list)  # that are computed in the pack

    @property
    def tokens(self) -> int:
        return sum(len(segment.ids) for segment in self.segments)

    @property
    def documents(self) -> list[Document]:
        return [ending.document for ending in self.endings] + self.parts

    @property
    def rows(self) -> list[int]:
        """Rows of the trace slots that the pack fills."""
        return [segment.row for segment in self.segments if segment.row is not None]


class PackPlanner:
    """Turns the head of `queue` into packs. Documents leave the queue when their last token is planned."""

    def __init__(
        self,
        queue: DocumentQueue,
        prefixes: PrefixCache,
        slots: TraceSlots,
        close: Sequence[int],
        limits: BatchLimits,
    ) -> None:
        self._queue = queue
        self._prefixes = prefixes
        self._slots = slots
        self._close = list(close)
        self._limits = limits
        self.batch_tokens = limits.batch_tokens
        self._long: dict[Document, KeyValues] = {}
        self._held = Held([], [])

    def plan(self) -> Pack | None:
        """The next pack; None when no document can be taken now."""
        pack = Pack()
        room = self._limits.batch_tokens
        needs = self._needs()
        while room > 0 and (document := self._next(needs)):
            prefix = self._prefixes.get(document.prefix)
            if pack.segments and prefix.missing + self._tokens(document) > room:
                break
            placed = self._place(document, prefix, pack, room)
            self._queue.charge(document.call, placed)
            room -= placed
        self._prefixes.trim(self._needs())
        return pack if pack.segments else None

    def missing(self, prefix: tuple[int, ...]) -> int:
        """Tokens of the prefix that no pack has computed."""
        return self._prefixes.missing(prefix)

    def abandon(self, pack: Pack) -> list[Document]:
        """Undo a pack whose pass failed; returns the documents that it was for."""
        for row in reversed(pack.rows):
            self._slots.drop(row)
        for prefix in pack.prefixes:
            self._prefixes.forget(tuple(prefix.ids))
        for document in pack.parts:
            self._queue.remove(document)
        for document in pack.documents:
            self._long.pop(document, None)
        return pack.documents

    def discard(self, submission: Submission) -> None:
        """Forget the documents of a job."""
        for document in self._queue.discard(submission):
            self._long.pop(document, None)

    def _next(self, needs: Mapping[tuple[int, ...], Need]) -> Document | None:
        self._held = self._prefixes.held(needs, self._limits.batch_tokens)
        return self._queue.next(self._may_start)

    def _needs(self) -> dict[tuple[int, ...], Need]:
        """The prefixes that documents in the queue wait for."""
        needs: dict[tuple[int, ...], Need] = {}
        for document in self._queue:
            need = needs.setdefault(document.prefix, Need(document.priority, ready=False))
            need.priority = min(need.priority, document.priority)
            need.ready = need.ready or self._has_room(document)
        return needs

    def _may_start(self, document: Document) -> bool:
        """True when something can be planned for the document. A prefix once begun is always brought to its end."""
        prefix = self._prefixes.peek(document.prefix)
        if prefix is not None and prefix.begun:
            return True
        if not self._has_room(document):
            return False
        if (prefix is not None and prefix.planned) or not document.prefix:
            return True
        short = len(document.prefix) <= self._limits.batch_tokens
        return self._prefixes.may_begin(document.prefix, document.priority, self._held, short=short)

    def _has_room(self, document: Document) -> bool:
        """True when there is room for what the document itself, apart from its prefix, takes."""
        is_long = self._tokens(document) > self._limits.batch_tokens
        if is_long and document not in self._long and len(self._long) >= _MOST_LONG_DOCUMENTS:
            return False
        if not document.budget or not self._slots.count:
            return True
        size = self._slots.size_with(1, self._row_tokens(document))
        return self._slots.count < self._limits.traces and size <= self._limits.trace_bytes

    def _tokens(self, document: Document) -> int:
        """Tokens of the document's own that must go through the model before its verdict, or its trace, can be read."""
        return document.left + (0 if document.budget else len(self._close))

    def _row_tokens(self, document: Document) -> int:
        return min(document.left, self._limits.batch_tokens) + document.budget + len(self._close)

    def _place(self, document: Document, prefix: Prefix, pack: Pack, room: int) -> int:
        """Plan what is missing of the prefix and, where it then fits, the document; a document longer than a batch is
        planned in parts. Returns the number of tokens planned."""
        placed = self._place_prefix(document, prefix, pack, room)
        tokens = self._tokens(document)
        has_room = self._has_room(document)  # else only its prefix is brought to its end
        if has_room and not prefix.missing and tokens <= room - placed:
            prefix.served += tokens
            self._place_end(document, prefix, pack)
            return placed + tokens
        pack.parts.append(document)
        if has_room and prefix.computed and tokens > self._limits.batch_tokens:
            self._place_part(document, prefix, pack)
        return room  # nothing else fits behind it

    def _place_prefix(self, document: Document, prefix: Prefix, pack: Pack, room: int) -> int:
        ids = prefix.plan(room)
        if ids:
            pack.segments.append(Segment(prefix.cache, ids, keep=True))
            pack.prefixes.append(prefix)
        document.prefix_computed += len(ids)
        return len(ids)

    def _place_end(self, document: Document, prefix: Prefix, pack: Pack) -> None:
        cache = self._long.pop(document, prefix.cache)
        ids = [*document.rest[document.done :], *(() if document.budget else self._close)]
        row = self._slots.add(self._row_tokens(document)) if document.budget else None
        pack.endings.append(Ending(document, len(pack.segments), cache))
        pack.segments.append(Segment(cache, ids, row=row))
        self._queue.remove(document)

    def _place_part(self, document: Document, prefix: Prefix, pack: Pack) -> None:
        """The first batch's worth of the document, into a cache of its own."""
        cache = self._long.get(document)
        if cache is None:
            cache = self._long[document] = prefix.cache.copy(self._tokens(document))
        ids = document.rest[document.done : document.done + self._limits.batch_tokens]
        prefix.served += len(ids)
        pack.segments.append(Segment(cache, ids, keep=True))
        self._queue.remove(document)  # and in again: its place depends on what is left of it
        document.done += len(ids)
        self._queue.add([document])
