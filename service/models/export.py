"""`python -m service.models.export NAME FOLDER`: a model as the service prepares it, copied out of its cache.

For training, which needs the converted weights of an embedded model in a folder that no cleaning removes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.checkpoint.cross_encoder_files import write_cross_encoder_files
from contract.checkpoint.manifest import FILE_NAME
from service.errors import ModelStoreError
from service.models.store import resolve


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 with a sentence where the model or the folder cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m service.models.export", description="Copy a model as the service prepares it into a folder."
    )
    parser.add_argument("name", help="embedded model, folder or hub id, as LIMRANK_MODEL names it")
    parser.add_argument("folder", type=Path, help="folder to write, which must not exist; whole once it is there")
    given = parser.parse_args(argv)
    try:
        export(given.name, given.folder)
    except ModelStoreError as error:
        sys.stderr.write(f"service.models.export: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"service.models.export: {given.folder} cannot be written ({error}).\n")
        return 2
    return 0


def export(name: str, folder: Path) -> None:
    """Copies the files of the model to `folder`, and adds to a cross-encoder of ours those by which Sentence
    Transformers gives the same scores. Raises `ModelStoreError`, also where `folder` exists already."""
    if folder.exists():
        raise ModelStoreError(f"{folder} exists already; remove it, or name another folder.")
    checkpoint = resolve(name)  # held until the end, so that the cache keeps it
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(checkpoint.folder, partial)
    if checkpoint.manifest.kind == "cross-encoder" and (partial / FILE_NAME).is_file():
        write_cross_encoder_files(partial, checkpoint.manifest.temperature)
    partial.rename(folder)


if __name__ == "__main__":
    sys.exit(main())
