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
    """Holds the phase. `engine_fault` is a sentence while the engine reports a fault, `first_stage_fault` one while
    that of the first stage of a cascade does."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.engine_fault: str | None = None
        self.first_stage_fault: str | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with an engine; None where both are well."""
        if self.engine_fault is None and self.first_stage_fault is not None:
            return f"First stage: {self.first_stage_fault}"
        return self.engine_fault

    @property
    def ready(self) -> bool:
        """True if new traffic is wanted; `/health/ready` reports it."""
        return self.phase is Phase.READY and self.fault is None

    @property
    def accepting(self) -> bool:
        """True if new calls are served; also while leaving, since balancers need time to notice."""
        return self.phase in (Phase.READY, Phase.LEAVING) and self.fault is None

    @property
    def reason(self) -> str:
        """Says in a sentence why the service is not ready; empty if it is."""
        if self.fault is not None:
            return self.fault
        return {
            Phase.STARTING: "The model is loading.",
            Phase.READY: "",
            Phase.LEAVING: "The server is stopping.",
            Phase.DRAINING: "The server is stopping and finishes the calls it holds.",
            Phase.DEAD: "The engine has died and the server is about to exit.",
        }[self.phase]


class FirstStageLifecycle:
    """The lifecycle of the process as the watchdog of the first stage keeps it true."""

    def __init__(self, whole: Lifecycle) -> None:
        self._whole = whole

    @property
    def phase(self) -> Phase:
        """See `Lifecycle`."""
        return self._whole.phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._whole.phase = phase

    @property
    def engine_fault(self) -> str | None:
        """Of the first stage."""
        return self._whole.first_stage_fault

    @engine_fault.setter
    def engine_fault(self, fault: str | None) -> None:
        self._whole.first_stage_fault = fault
