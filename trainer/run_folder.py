"""The folder of a training run: its settings, its checkpoints, its log, its legs.

settings.json          what the run was begun with; going on with other settings is refused
checkpoints/           checkpoint-N/ of the training loop; one counts only when complete.json stands in it
log.jsonl              one line for each stretch of steps: step, loss, learning rate, seconds
legs.jsonl             one line for each leg: steps, seconds, why it ended, dev score
loss.png               the plot of log.jsonl
model/, adapter/       the result, written whole or not at all
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from trainer.errors import BadRunFolder

COMPLETE = "complete.json"
# What may differ between the legs of one run: where it stops and how it reports.
_FREE = frozenset(
    {
        "run",
        "config",
        "leg",
        "leg_minutes",
        "checkpoint_minutes",
        "checkpoint_steps",
        "log_steps",
        "dry_run",
        "measure_seconds",
    }
    | {"dev", "dev_split", "dev_candidates", "dev_queries", "dev_depth", "dev_modes", "dev_trace_tokens"}
    | {"device_batch", "precision"}
)


class RunFolder:
    """One run's folder. Raises BadRunFolder where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.log = path / "log.jsonl"
        self.legs = path / "legs.jsonl"

    def check(self, settings: Mapping[str, Any], leg: int | None) -> None:
        """Raise BadRunFolder when what stands here was begun with other `settings`, is complete, or when `leg` is not
        the one that comes next."""
        self.check_settings(settings)
        legs = self.ended_legs()
        if legs and legs[-1]["ended"] == "finished":
            raise BadRunFolder(f"{self.path} is complete after {len(legs)} legs; name another run folder.")
        if leg is not None and leg != len(legs) + 1:
            raise BadRunFolder(
                f"{self.path} has {len(legs)} finished legs, so leg {len(legs) + 1} comes next, not {leg}."
            )

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise BadRunFolder when what stands here was begun with other `settings`."""
        path = self.path / "settings.json"
        if path.exists():
            _check_same(path, json.loads(path.read_text(encoding="utf-8")), _bound(settings))

    def open(self, settings: Mapping[str, Any]) -> None:
        """Make the folder where it is not there yet, and write down what the run is begun with."""
        with writing(self.path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            if not (self.path / "settings.json").exists():
                _write_json(self.path / "settings.json", _bound(settings))

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint. One that a kill left half written is taken away."""
        found = []
        for folder in self.checkpoints.glob("checkpoint-*"):
            if (folder / COMPLETE).is_file():
                found.append((int(folder.name.rpartition("-")[2]), folder))
            else:
                shutil.rmtree(folder)
        return max(found)[1] if found else None

    def ended_legs(self) -> list[dict[str, Any]]:
        """What each leg so far has left behind."""
        if not self.legs.exists():
            return []
        return [json.loads(line) for line in self.legs.read_text(encoding="utf-8").splitlines()]

    def append(self, path: Path, line: Mapping[str, Any]) -> None:
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def mark_complete(checkpoint: Path) -> None:
    """Say that a checkpoint is whole; the last thing that is written into it."""
    _write_json(checkpoint / COMPLETE, {"complete": True})


def save_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `folder`, and give it the name when it is whole. Raise BadRunFolder.

    What stood at `folder` before is replaced only then.
    """
    partial = folder.with_name(folder.name + ".partial")
    old = folder.with_name(folder.name + ".old")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            write(partial)
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def data_sha256(path: Path) -> str:
    """SHA-256 of a training file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what libraries raise when a disk is full or a folder read-only into one sentence."""
    try:
        yield
    except OSError as error:
        raise BadRunFolder(
            f"{path} cannot be written: {error.strerror or error}; make room or name another."
        ) from error
    except SafetensorError as error:
        raise BadRunFolder(f"{path} cannot be written: {error}; make room or name another.") from error
    except RuntimeError as error:  # how torch.save reports a full disk
        if "PytorchStreamWriter" not in str(error) and "write" not in str(error):
            raise
        raise BadRunFolder(f"{path} cannot be written: {str(error).splitlines()[0]}; make room.") from error


def _bound(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in _FREE}


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differing = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if differing:
        name = differing[0]
        raise BadRunFolder(
            f"{path.parent} was begun with {name} = {before.get(name)!r}, not {now.get(name)!r}; "
            "go on with the same settings, or name another run folder."
        )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    # A name of its own: each process of a distributed run opens the folder.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
