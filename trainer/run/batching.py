"""The number of examples per step and of processes that train together. Imports no model library."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from trainer.errors import BadSettings
from trainer.settings import Training


@dataclass(frozen=True, slots=True)
class Batching:
    """Examples per step: `batch` over all devices, `device_batch` computed by one device at a time."""

    batch: int
    device_batch: int

    @classmethod
    def of(cls, settings: Training) -> Self:
        return cls(settings.batch, settings.device_batch)

    def accumulated(self) -> int:
        """Number of batches that a device computes per step. Raises BadSettings when the batch is not divisible."""
        times, rest = divmod(self.batch, self.device_batch * world())
        if rest or not times:
            raise BadSettings(
                f"A batch of {self.batch} does not divide into {world()} processes of {self.device_batch} "
                "examples; change --batch or --device-batch."
            )
        return times


def world() -> int:
    """The number of processes that train together, as set by torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))
