"""Turns the text of calls into ids at the door: in threads, in parts, with an equal share for each key.

The prefix of a call is encoded once, with its first passages. The others follow in parts, and between two parts others
get their turn: keys one after another, and of a key its calls one after another. So a call of ten thousand documents
neither holds the event loop nor keeps a small one waiting for longer than a part of it takes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from contract.verdict import Reading
from service.engine import Encoder, Limits, Prefix, Rest
from service.errors import FixedPartsTooLong, PassageTooLong
from service.passages.cutting import Cutter, Cutting
from service.passages.pieces import Piece, Pieces

T = TypeVar("T")

THREADS = 2
PART_PASSAGES = 64
PART_CHARACTERS = 262_144  # of all passages of a part together, about 60,000 tokens


@dataclass(frozen=True, slots=True)
class CallText:
    """What is to be encoded of a call. `cutting` None: each passage is one prompt."""

    query: str
    instruction: str | None
    passages: Sequence[str]
    limits: Limits
    cutting: Cutting | None = None


@dataclass(frozen=True, slots=True)
class PassageShare:
    """How much of a model query and instruction must leave to a passage: at least `share` of its `positions`, of which
    `served` are in use. A shorter passage is scored all the same: it is room that counts.
    """

    positions: int
    served: int
    share: float

    def room(self, budget: int) -> int:
        """The fewest tokens of a passage that are read where query and instruction leave as little as they may."""
        return max(0, int(self.share * self.positions) - budget - (self.positions - self.served))

    def check(self, prefix: Prefix, budget: int) -> None:
        """Raise FixedPartsTooLong where less is left, or nothing at all beside `budget` tokens of reasoning."""
        left = prefix.room + budget + self.positions - self.served
        if left < self.share * self.positions:
            raise FixedPartsTooLong(
                f"Query and instruction leave {left} of the model's {self.positions} tokens to a passage, and at least "
                f"{self.share:.0%} of them are needed; shorten the query or the instruction.",
                field="query",
            )
        if prefix.room < 1:
            beside = f" beside {budget} for reasoning" if budget else ""
            raise FixedPartsTooLong(
                f"Query and instruction leave no token of the {self.served} that are served to a passage{beside}; "
                "shorten the query or the instruction.",
                field="query",
            )


@dataclass(frozen=True, slots=True)
class EncodedCall:
    """A call in ids: one rest for each passage, in their order, or for each of its `pieces`. `seconds`: what encoding
    took, waiting left out."""

    prefix: Prefix
    rests: Sequence[Rest]
    seconds: float
    pieces: Pieces | None = None


class EncodingPool:
    """Encodes calls for one model. Runs on one event loop, beside `threads` threads."""

    def __init__(self, encoder: Encoder, threads: int = THREADS, share: PassageShare | None = None) -> None:
        """`share` None: a passage may be left as little as the encoder allows."""
        self._encoder = encoder
        self._share = share
        self._threads = ThreadPoolExecutor(threads, "limrank-encode")
        self._free = threads
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by key, in the order of their turns

    @property
    def answers(self) -> tuple[int, ...]:
        """The answer tokens of every prompt."""
        return self._encoder.answers

    @property
    def reading(self) -> Reading:
        """How answers become a score."""
        return self._encoder.reading

    def least_tokens(self, texts: Sequence[str], longest: int) -> int:
        """See `Encoder.least_tokens`."""
        return self._encoder.least_tokens(texts, longest)

    def least_room(self, budget: int) -> int:
        """The fewest tokens of a longer passage that are read in a call that is not refused, beside a budget; without a
        share as many as fit."""
        return sys.maxsize if self._share is None else self._share.room(budget)

    async def encode(self, text: CallText, key: str) -> EncodedCall:
        """Encode a call on behalf of `key`.

        Raise FixedPartsTooLong, and PassageTooLong for the first passage that would be cut where that is forbidden.
        Cancelling it ends the work after the part that runs now.
        """
        parts = [] if text.cutting is not None else list(_parts(text.passages))
        (prefix, rests), seconds = await self._run(key, partial(self._begin, text, parts[:1]))
        if text.cutting is not None:
            return await self._cut(text, text.cutting, prefix, seconds, key)
        for begin, end in parts[1:]:
            made, took = await self._run(key, partial(self._part, prefix, text, begin, end))
            seconds += took
            rests += made
        return EncodedCall(prefix, rests, seconds)

    def _begin(self, text: CallText, parts: Sequence[tuple[int, int]]) -> tuple[Prefix, list[Rest]]:
        """The prefix of a call, and its first part: most calls then take one turn of a thread."""
        prefix = self._encoder.prefix(text.query, text.instruction, text.limits.budget)
        if self._share is not None:
            self._share.check(prefix, text.limits.budget)
        return prefix, [rest for begin, end in parts for rest in self._part(prefix, text, begin, end)]

    def _part(self, prefix: Prefix, text: CallText, begin: int, end: int) -> list[Rest]:
        made = list(self._encoder.rests(prefix, text.passages[begin:end], text.limits))
        if not text.limits.truncate:
            _refuse_cuts(made, begin, prefix, text.limits)
        return made

    async def _cut(self, text: CallText, cutting: Cutting, prefix: Prefix, seconds: float, key: str) -> EncodedCall:
        """A call whose passages are read in pieces."""
        pieces: list[Piece] = []
        rests: list[Rest] = []
        cut: set[int] = set()
        steps = Cutter(self._encoder, prefix, text.limits, cutting).steps(text.passages)
        while True:
            step, took = await self._run(key, partial(next, steps, None))
            seconds += took
            if step is None:
                return EncodedCall(prefix, rests, seconds, Pieces(pieces, frozenset(cut)))
            pieces += step.pieces
            rests += step.rests
            cut.update(step.cut)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, key: str, work: Callable[[], T]) -> tuple[T, float]:
        """The result of `work` in a thread, and how many seconds it took there."""

        def timed() -> tuple[T, float]:
            begun = time.perf_counter()
            return work(), time.perf_counter() - begun

        async with self._turn(key):
            return await asyncio.get_running_loop().run_in_executor(self._threads, timed)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """Hold one of the threads. Of those that wait, keys take turns."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, key: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a thread that came free to the first that waits of the next key."""
        for turn in self._next_turns():
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next_turns(self) -> Iterator[asyncio.Future[None]]:
        while self._waiting:
            key = next(iter(self._waiting))
            turns = self._waiting.pop(key)
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns  # behind the other keys
            yield turn


def _parts(passages: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends."""
    begin = characters = 0
    for index, passage in enumerate(passages):
        full = index - begin >= PART_PASSAGES or characters + len(passage) > PART_CHARACTERS
        if full and index > begin:
            yield begin, index
            begin, characters = index, 0
        characters += len(passage)
    if passages:
        yield begin, len(passages)


def _refuse_cuts(rests: Sequence[Rest], begin: int, prefix: Prefix, limits: Limits) -> None:
    for index, rest in enumerate(rests, begin):
        if rest.truncated:
            most = prefix.room if limits.passage_tokens is None else min(prefix.room, limits.passage_tokens)
            raise PassageTooLong(index, most)
