"""Where the process stands between start and exit, and whether it should be sent traffic."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """`starting` -> `ready` -> `leaving` (still serving, no longer ready) -> `draining` (refusing) ; or `dead`."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    DRAINING = "draining"
    DEAD = "dead"


class Lifecycle:
    """The one place that knows the phase. `engine_fault` is a sentence while the engine reports that it is not well."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.engine_fault: str | None = None

    @property
    def ready(self) -> bool:
        """True when new traffic is wanted: what `/health/ready` answers."""
        return self.phase is Phase.READY and self.engine_fault is None

    @property
    def accepting(self) -> bool:
        """True when a call that arrives is served: also while leaving, since balancers need time to notice."""
        return self.phase in (Phase.READY, Phase.LEAVING) and self.engine_fault is None

    @property
    def reason(self) -> str:
        """Why the service is not ready, as a sentence; empty when it is."""
        if self.engine_fault is not None:
            return self.engine_fault
        return {
            Phase.STARTING: "The model is loading.",
            Phase.READY: "",
            Phase.LEAVING: "The server is stopping.",
            Phase.DRAINING: "The server is stopping and finishes the calls it holds.",
            Phase.DEAD: "The engine has died and the server is about to exit.",
        }[self.phase]
