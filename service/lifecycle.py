"""The phase of the process between start and exit, and whether it should receive traffic."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """`starting` -> `ready` -> `leaving` (still serving, no longer ready) -> `draining` (refusing); or `dead`."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    DRAINING = "draining"
    DEAD = "dead"


class Lifecycle:
    """Holds the phase. `engine_fault` is a sentence while the engine reports a fault."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.engine_fault: str | None = None

    @property
    def ready(self) -> bool:
        """True if new traffic is wanted; `/health/ready` reports it."""
        return self.phase is Phase.READY and self.engine_fault is None

    @property
    def accepting(self) -> bool:
        """True if new calls are served; also while leaving, since balancers need time to notice."""
        return self.phase in (Phase.READY, Phase.LEAVING) and self.engine_fault is None

    @property
    def reason(self) -> str:
        """Says in a sentence why the service is not ready; empty if it is."""
        if self.engine_fault is not None:
            return self.engine_fault
        return {
            Phase.STARTING: "The model is loading.",
            Phase.READY: "",
            Phase.LEAVING: "The server is stopping.",
            Phase.DRAINING: "The server is stopping and finishes the calls it holds.",
            Phase.DEAD: "The engine has died and the server is about to exit.",
        }[self.phase]
