"""The protocol of a method: phases of units of work. Each unit is a row of a plan that becomes records."""

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
    """`work` takes one of `units` (`total` in number) through its stages and returns its records.

    `questions` is the total number of questions of all units if every reply is accepted.
    """

    name: str
    total: int
    questions: int
    units: Iterable[Any]
    work: Callable[[Any, Asker], Awaitable[list[Record]]]


class Synthesis(Protocol):
    """A method in one run folder."""

    def plan(self) -> Plan:
        """Makes the plan, or checks the existing one. Raises `BadInput` and `BadSettings`."""
        ...

    def forecasts(self) -> list[Forecast]:
        """The calls of the plan if everything succeeds."""
        ...

    def templates(self) -> dict[str, str]:
        """Each stage that makes calls, in order, with the checksum of its template."""
        ...

    def phases(self, journalled: CachedAsker) -> Iterator[Phase]:
        """The phases in order; each is prepared from the earlier ones when it is requested."""
        ...

    def last(self) -> Phase:
        """The phase that makes the records, from the folder. Raises `BadInput` when the run has not reached it."""
        ...
