"""The device that a torch engine computes on."""

from __future__ import annotations

import torch

from service.errors import EngineOptionError


def resolve_device(name: str) -> torch.device:
    """Resolves a device name. `auto` is the first visible GPU if CUDA has one, otherwise the CPU.

    Raises EngineOptionError for a device that this machine or this build of torch does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineOptionError(
            "--device cuda: torch sees no GPU here; install its CUDA build and check nvidia-smi and "
            "CUDA_VISIBLE_DEVICES, or leave the device at auto."
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise EngineOptionError("--device mps: torch sees no Apple GPU here; leave the device at auto.")
    return torch.device(name)
