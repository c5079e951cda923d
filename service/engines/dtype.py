"""The number format that an engine computes in."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig

CPU = torch.device("cpu")


def resolve_dtype(name: str, folder: Path, device: torch.device = CPU) -> torch.dtype:
    """Resolves a number format. `auto` is the format of the stored weights if the device computes in it, otherwise
    float32: bfloat16 on a CPU without instructions for it measured three times slower. CPUs do not support float16."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    stored = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).dtype
    if device.type != "cpu":
        return stored if stored in (torch.bfloat16, torch.float16) else torch.float32
    return torch.bfloat16 if stored == torch.bfloat16 and computes_bfloat16() else torch.float32


def computes_bfloat16() -> bool:
    """True when this CPU has instructions for bfloat16 products."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
