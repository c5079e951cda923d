"""`calibration.json`: the calibration of one scorer's scores, and the temperature fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.calibration import Calibration
from evaluation.results.files import Made, parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A temperature fitted on `pairs` pairs of the task `on`, and the calibration of the measured pairs with it."""

    value: float
    on: str
    pairs: int
    after: Calibration

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "on": self.on, "pairs": self.pairs, **asdict(self.after)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """`as_served` is the calibration of the scores as the scorer returns them; `temperature` is None if none was
    fitted."""

    task: str
    scorer: str
    identity: Mapping[str, Any]
    pairs: int
    relevant: int
    as_served: Calibration
    temperature: Fitted | None
    protocol: str
    seconds: float
    made: Made

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "calibration",
            "task": self.task,
            "scorer": self.scorer,
            "identity": dict(self.identity),
            "pairs": self.pairs,
            "relevant": self.relevant,
            **asdict(self.as_served),
            "temperature": None if self.temperature is None else self.temperature.to_json(),
            "protocol": self.protocol,
            "seconds": self.seconds,
            "made": asdict(self.made),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], name: str) -> CalibrationResult:
        """Raises BadData, with the file's `name`, when a field is missing."""
        fitted = value.get("temperature")
        nested = {"as_served": value, "temperature": None if fitted is None else {**fitted, "after": fitted}}
        return parsed(cls, {**value, **nested}, name)
