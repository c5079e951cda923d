"""Prepares the embedded models in a folder of the image, which is read-only later, and writes the name of each.

prepare_models.py FOLDER. The untrained base is among them only where nothing was trained from it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from contract.checkpoint.packaged import WEIGHTS
from service.models.embedded import default_name
from service.models.embedded_cross_encoder import cross_encoders
from service.models.store import resolve


def main(folder: Path) -> None:
    """The default model first, then every cross-encoder that ships."""
    for name in [default_name(), *cross_encoders(WEIGHTS)]:
        sys.stdout.write(f"{resolve(name, cache_dir=folder).name}\n")
    for lock in folder.glob("*.lock"):
        lock.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
