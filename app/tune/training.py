"""Trains the cross-encoder on the groups, calibrates it, and puts it beside the report with a card."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import Interrupted
from contract.checkpoint.manifest import Manifest, read_manifest
from contract.files import write_text
from trainer.cross_encoder.groups import read_all
from trainer.run.folder import RunFolder, save_whole
from trainer.run.ready import ready
from trainer.settings import UNKNOWN, CrossEncoding

_SEEN = 800  # groups that are trained in all where there are fewer: several passes, but not more than
_MOST_EPOCHS = 4.0
_HELD_OUT = 8  # one of so many groups calibrates, at most
_CALIBRATION = 60
_CHECKPOINT_MINUTES = 1.5  # the most that a kill loses


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What decides the weights, beside the groups. `graded`: the teacher's scores are grades from 0 to 10.
    `ranks`: the base is a cross-encoder already, which knows better than a bi-encoder's cosines."""

    base: Path
    learning_rate: float
    epochs: float | None
    max_tokens: int
    seed: int
    graded: bool
    ranks: bool

    def epochs_of(self, groups: int) -> float:
        """Passes over so many groups."""
        return self.epochs or min(_MOST_EPOCHS, max(1.0, round(_SEEN / groups, 2)))

    def settings(self, data: Path, folder: Path, groups: int) -> CrossEncoding:
        """As `limrank-train cross-encoder` has them."""
        return CrossEncoding(
            data=data,
            base=self.base,
            folder=folder,
            learning_rate=self.learning_rate,
            weight_decay=0.01,
            warmup=0.06,
            epochs=self.epochs_of(groups),
            batch=8,
            device_batch=4,  # of groups: half the memory of eight
            max_tokens=self.max_tokens,
            labelled_teacher_weight=1.0 if self.graded else 0.0 if self.ranks else 0.3,
            teacher_temperature=1.5 if self.graded else 0.07,
            calibration=held_out(groups),
            dropout=0.0,
            seed=self.seed,
            leg_minutes=1e6,
            checkpoint_minutes=_CHECKPOINT_MINUTES,
        )


def held_out(groups: int) -> int:
    """How many of the groups calibrate."""
    return min(_CALIBRATION, groups // _HELD_OUT)


def train(
    plan: TrainingPlan, data: Path, groups: int, folder: Path, log: Path, watch: Callable[[int, int], None]
) -> Mapping[str, Any]:
    """Train in `folder`, from its last checkpoint if there is one, unless its model is complete; what the run says of
    itself. What the trainer prints goes to `log`. Raises `TrainError`, and `Interrupted` at a signal."""
    from trainer.cross_encoder.train import train_cross_encoder

    run = RunFolder(folder)
    if run.ended_sessions() and not _finished(run) and run.ended_sessions()[-1]["ended"] == "finished":
        shutil.rmtree(folder)  # its model is gone: begin anew
    if not _finished(run):
        with log.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            train_cross_encoder(ready(plan.settings(data, folder, groups), read_all), watch)
    if not _finished(run):
        raise Interrupted("Stopped in the training, with a checkpoint; the same command goes on.")
    manifest = own_manifest(folder / "model")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    steps = run.ended_sessions()[-1]["steps"]
    return {"steps": steps, "temperature": manifest.temperature, "recipe": manifest.recipe}


def own_manifest(folder: Path) -> Manifest:
    """The manifest of a model that was trained here."""
    manifest = read_manifest(folder)
    assert manifest is not None, f"{folder} was written with a manifest"
    return manifest


def publish(folder: Path, out: Path, card: str) -> None:
    """Put the trained model with its card into `out`, whole or not at all. Raises `BadRunFolder`."""

    def fill(part: Path) -> None:
        shutil.copytree(folder / "model", part, dirs_exist_ok=True)
        write_text(part / "README.md", card)

    save_whole(out, fill)


def licence_of(documents: str, teacher: str) -> str:
    """The licence of what is made of both; unknown where one is."""
    return UNKNOWN if UNKNOWN in (documents, teacher) else " AND ".join(dict.fromkeys((documents, teacher)))


def _finished(run: RunFolder) -> bool:
    sessions = run.ended_sessions()
    return bool(sessions) and sessions[-1]["ended"] == "finished" and (run.path / "model" / "reranker.json").exists()
