"""Parameters of a made-up checkpoint, and a runner of races whose traces are scripted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from contract.adaptive.curves import Curve, Line
from contract.adaptive.parameters import Parameters
from contract.adaptive.race import Ask, Race, Read
from contract.reasoning import Status

PARAMETERS = Parameters(
    direct=Line(0.8, -0.1),
    reasoned=Line(0.5, 0.0),
    reasoned_range=(-8.0, 8.0),
    fusion=(0.4, 0.7, 0.05),
    mean=Curve((-4.0, 0.0, 4.0), (-3.0, 0.2, 3.5), beyond=1.0),
    spread=Curve((-4.0, 0.0, 4.0), (0.3, 1.2, 0.4)),
    probe_spread=Curve((8.0, 32.0), (0.8, 0.1)),
    probe_tokens=8,
    mean_tokens=20.0,
    cap=40,
    token_quantiles={"0.5": 18.0},
)


def parameters(**changes: Any) -> Parameters:
    return replace(PARAMETERS, **changes)


@dataclass(frozen=True)
class ScriptedTrace:
    """A trace of so many tokens; its verdict moves evenly from the direct one to `log_odds`."""

    tokens: int
    log_odds: float

    def read(self, direct: float, upto: int) -> Read:
        share = min(1.0, upto / self.tokens)
        ended = Status.COMPLETE if upto >= self.tokens else None
        return Read(min(upto, self.tokens), direct + share * (self.log_odds - direct), ended)


def play(race: Race, direct: Sequence[float], traces: Sequence[ScriptedTrace]) -> list[list[Ask]]:
    """Run a race to its end; returns its waves."""
    waves, written = [], [0] * len(direct)
    while asks := race.wave():
        waves.append(asks)
        for ask in asks:
            written[ask.index] += ask.tokens
            race.took(ask.index, traces[ask.index].read(direct[ask.index], written[ask.index]))
        assert len(waves) < 10_000, "it does not end"
    return waves
