"""A method as the pipeline sees it: phases of units of work, each unit a row of a plan on its way to records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from contract.records import Record
from synth.llm.stage import Asker, Forecast
from synth.run.calls import CachedAsker
from synth.run.plan import Plan


@dataclass(frozen=True, slots=True)
class Phase:
    """`work` takes one of `units` (there are `total`) through its stages and gives the records that came of it.

    `questions` is how many the units ask in all, if every reply is accepted.
    """

    name: str
    total: int
    questions: int
    units: Iterable[Any]
    work: Callable[[Any, Asker], Awaitable[list[Record]]]


class Synthesis(Protocol):
    """A method at work in one run folder."""

    def plan(self) -> Plan:
        """Make the plan, or check the one that is there. Raises `BadInput` and `BadSettings`."""
        ...

    def forecasts(self) -> list[Forecast]:
        """What the plan, if everything succeeds, will ask."""
        ...

    def templates(self) -> dict[str, str]:
        """Each stage that makes calls, in order, and the checksum of its template."""
        ...

    def phases(self, journalled: CachedAsker) -> Iterator[Phase]:
        """The phases in order; what one needs of those before it is made when it is asked for."""
        ...

    def last(self) -> Phase:
        """The phase that makes the records, from what the folder holds. Raises `BadInput` where it is not reached."""
        ...
