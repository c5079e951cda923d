"""Runs waves of traces on the engine: each wave continues some documents' reasoning and reads their verdicts.

A wave goes through the window like a call of its own, so it waits for its turn among the others and frees its slots
when it ends. A trace is continued from its own ids (`Prompt.written`). vLLM finds them in its cache; the transformers
engine keeps prefixes only, and so the whole prompt of a document is made one, of which it keeps as many as it has room
for. The verdict behind a piece is the one that the engine reads anyway, and so a probe costs nothing more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from contract.adaptive.race import Ask, Read
from contract.reasoning import Status
from service.engine import Completion, Scoring, ids_of
from service.errors import EngineFailed, ServiceError, Unavailable
from service.scheduling.work import Answer, Going, Work

T = TypeVar("T")

Run = Callable[[Work], Awaitable[Answer]]
"""Has the engine score every document of some work."""

LogOdds = Callable[[Completion], float]
"""The calibrated log-odds of a verdict, as the model gives it."""

_MARGIN = 0.05  # of the time left, for the last verdicts; within these bounds in seconds:
_LEAST_MARGIN, _MOST_MARGIN = 0.05, 1.0
_TO_MAKE_ROOM = ("deadline", "queue_full")  # reasons of `Unavailable` that are about this call
_IN_THE_LOOP = 500  # documents


class Chooser(Protocol):
    """What says how traces go on: a `Race` or a `Recording`. `in_pieces`: a trace takes several waves as a rule."""

    @property
    def in_pieces(self) -> bool: ...
    def wave(self) -> list[Ask]: ...
    def took(self, index: int, read: Read) -> None: ...
    def end(self, outcome: Status) -> None: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What strategies work with. `late` makes the error of a call that has no ranking at its deadline; `now` gives
    monotonic seconds; `kept_tokens`: see `service.engine.Capabilities`."""

    log_odds: LogOdds
    late: Callable[[], ServiceError]
    now: Callable[[], float] = time.monotonic
    kept_tokens: int = 0


async def direct_pass(work: Work, run: Run, means: Means) -> Answer:
    """The direct verdicts of all documents, before the deadline: until then there is no ranking."""
    try:
        async with asyncio.timeout(work.deadline - means.now()):
            return await run(work)
    except TimeoutError:
        raise means.late() from None


async def run_waves(chooser: Chooser, work: Work, run: Run, means: Means) -> dict[int, Completion]:
    """Run waves until the chooser has no more or time is up; returns the last completion of each document that has
    one. Raises what `run` raises.

    `work` holds all documents. Engines end reasoning in time for the deadline that a piece of work names; what is not
    back at that of the call is given up, and so the tokens of such a piece are not known to anybody.
    """
    last: dict[int, Completion] = {}
    kept: dict[int, Sequence[int] | None] = {}
    left = work.deadline - means.now()
    margin = min(max(_MARGIN * left, _LEAST_MARGIN), _MOST_MARGIN)
    try:
        async with asyncio.timeout(left):
            while asks := await reckoned(len(work.rests), chooser.wave):
                if chooser.in_pieces and means.kept_tokens:
                    kept |= {
                        ask.index: _kept(work, ask.index, means.kept_tokens) for ask in asks if ask.index not in kept
                    }
                try:
                    answer = await run(_piece(work, asks, last, kept, work.deadline - margin))
                except EngineFailed as error:
                    raise error.at([ask.index for ask in asks]) from error
                for ask, completion in zip(asks, answer.completions, strict=True):
                    last[ask.index] = completion
                    chooser.took(ask.index, _read(completion, means.log_odds))
    except TimeoutError:
        chooser.end(Status.DEADLINE)
    except Unavailable as error:
        if error.reason not in _TO_MAKE_ROOM:
            raise
        chooser.end(Status.DEADLINE)  # there is a ranking: overload takes the rest of the traces, not the call
    return last


async def reckoned(documents: int, reckon: Callable[[], T]) -> T:
    """What `reckon` makes of beliefs about so many documents: in the event loop, or of many in a thread."""
    return reckon() if documents <= _IN_THE_LOOP else await asyncio.to_thread(reckon)


def _kept(work: Work, index: int, most: int) -> Sequence[int] | None:
    """The prompt of a document without its last token, for engines that keep prefixes; None for a long one, of which
    they could keep few."""
    ids = work.rests[index].ids
    tokens = len(work.prefix.ids) + len(ids) - 1
    return ids_of([*work.prefix.ids, *ids[:-1]]) if ids and tokens <= most else None


def _piece(
    work: Work,
    asks: Sequence[Ask],
    last: Mapping[int, Completion],
    kept: Mapping[int, Sequence[int] | None],
    deadline: float,
) -> Work:
    written = {ask.index: last[ask.index].written if ask.index in last else () for ask in asks}
    going = [Going(written[ask.index], ask.tokens, kept.get(ask.index)) for ask in asks]
    return replace(
        work,
        rests=[work.rests[ask.index] for ask in asks],
        going=going,
        scoring=Scoring.REASONING,
        budget=max(each.budget for each in going),
        deadline=deadline,
    )


def _read(completion: Completion, log_odds: LogOdds) -> Read:
    """A trace that used up the tokens asked for could go on."""
    ended = None if completion.status is Status.BUDGET else completion.status
    return Read(completion.reasoning_tokens, log_odds(completion), ended)
