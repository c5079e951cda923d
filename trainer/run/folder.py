"""The folder of a training run: settings, checkpoints, log and sessions.

settings.json            the initial settings of the run; it cannot be resumed with other settings or data
checkpoints/             checkpoint-N/ of the training loop; one without complete.json is ignored
log.jsonl                one line every few steps: step, loss, learning rate, seconds
legs.jsonl               one line per session: steps, seconds, why it ended, dev score
loss.png                 the plot of log.jsonl
best.*, base-score.json  the weights that ranked the held-out groups best so far, and the base's score (cross-encoder)
model/, adapter/         the result, written atomically

A line of log.jsonl or legs.jsonl that a full disk or a kill has truncated counts as not written: that session, even the
last one, has not ended, and the next one resumes from the last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from contract.files import LineLog, json_line, whole_lines, write_text
from trainer.errors import BadData, BadRunFolder

COMPLETE = "complete.json"
# Settings that may differ between the sessions of a run: its location, when it stops and how it reports. Files and
# folders that determine the training may move, but their content must not change.
_CONTENT = ("data", "exclude", "base", "adapter", "bi_encoder")
_FREE = frozenset(
    {
        *_CONTENT,
        "folder",
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
    | {"device_batch", "precision", "keep"}
)
# Settings that runs begun before they existed do not state, with what was done then.
_SINCE = {"format": "pointwise", "base_weights": "float32", "similarity_weight": 14.0, "base_scale": 1.0}
# The files of a model's folder whose content matters.
_MODEL_FILES = ("*.safetensors", "config.json", "tokenizer.json", "adapter_config.json")


class RunFolder:
    """The folder of one run. Raises BadRunFolder when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.log = path / "log.jsonl"
        self.sessions = path / "legs.jsonl"

    def check(
        self, settings: Mapping[str, Any], session: int | None, data_sha256: Mapping[str, str] | None = None
    ) -> None:
        """Raises BadRunFolder when the run in this folder was started with other `settings` or data, is complete, or
        when `session` is not the next one. `data_sha256` is the result of `content_sha256`."""
        self.check_settings(settings, data_sha256)
        sessions = self.ended_sessions()
        if sessions and sessions[-1]["ended"] == "finished":
            raise BadRunFolder(f"{self.path} is complete after {len(sessions)} legs; name another run folder.")
        if session is not None and session != len(sessions) + 1:
            raise BadRunFolder(
                f"{self.path} has {len(sessions)} finished legs, so leg {len(sessions) + 1} comes next, not {session}."
            )

    def check_settings(self, settings: Mapping[str, Any], data_sha256: Mapping[str, str] | None = None) -> None:
        """Raises BadRunFolder when the run in this folder was started with other `settings` or data. A run from before
        the data was recorded accepts any."""
        path = self.path / "settings.json"
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            known = before.pop("data_sha256", None)
            now = _bound(settings)
            _check_same(path, {name: value for name, value in _SINCE.items() if name in now} | before, now)
            if known is not None and data_sha256 is not None:
                _check_same_data(path, known, data_sha256)

    def open(self, settings: Mapping[str, Any], data_sha256: Mapping[str, str] | None = None) -> None:
        """Creates the folder unless it exists, and records the initial settings and data."""
        data = {} if data_sha256 is None else {"data_sha256": dict(data_sha256)}
        with writing(self.path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            if not (self.path / "settings.json").exists():
                _write_json(self.path / "settings.json", _bound(settings) | data)

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint, the same in all processes of a run."""
        found = {int(folder.name.rpartition("-")[2]): folder for folder in self._checkpoints(complete=True)}
        return found[max(found)] if found else None

    def clear_half_written(self) -> None:
        """Removes checkpoints that a kill left incomplete. In a distributed run one process calls this."""
        for folder in self._checkpoints(complete=False):
            shutil.rmtree(folder, ignore_errors=True)

    def _checkpoints(self, *, complete: bool) -> list[Path]:
        found = self.checkpoints.glob("checkpoint-*")
        return [folder for folder in found if (folder / COMPLETE).is_file() is complete]

    def ended_sessions(self) -> list[dict[str, Any]]:
        """The lines of legs.jsonl, one per ended session."""
        return self.lines(self.sessions)

    def lines(self, path: Path) -> list[dict[str, Any]]:
        """The complete lines of log.jsonl or legs.jsonl."""
        if not path.exists():
            return []
        found = []
        for _, line in whole_lines(path):
            with suppress(ValueError):  # truncated, with another line appended to it
                found.append(json.loads(line))
        return found

    def append(self, path: Path, line: Mapping[str, Any]) -> None:
        """Appends one line atomically, in place of a truncated one. Raises BadRunFolder."""
        with writing(path), LineLog(path) as log:
            log.append(json_line(line, compact=False))


def mark_complete(checkpoint: Path) -> None:
    """Marks a checkpoint as complete, after everything else is written."""
    _write_json(checkpoint / COMPLETE, {"complete": True})


def save_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a new folder, then replaces `folder` with it. Raises BadRunFolder, leaving `folder`
    unchanged."""
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


def content_sha256(settings: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each training file, and of the weights and tokenizer of each model, by the setting that names it.
    Raises BadData."""
    return {name: _content_sha256(Path(settings[name])) for name in _CONTENT if settings.get(name) is not None}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translates the errors that libraries raise for a full disk or a read-only folder into BadRunFolder."""
    try:
        yield
    except OSError as error:
        raise BadRunFolder(
            f"{path} cannot be written: {error.strerror or error}; make room or name another."
        ) from error
    except SafetensorError as error:
        raise BadRunFolder(f"{path} cannot be written: {error}; make room or name another.") from error
    except RuntimeError as error:  # torch.save reports a full disk like this
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


def _content_sha256(path: Path) -> str:
    try:
        if not path.is_dir():
            return data_sha256(path)
        files = sorted(file for pattern in _MODEL_FILES for file in path.glob(pattern))
        lines = [f"{file.name} {data_sha256(file)}\n" for file in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}.") from None


def _check_same_data(path: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise BadRunFolder(
                f"{path.parent} was begun with another content of {name}: sha256 {before.get(name, 'of none')}, not "
                f"{now.get(name, 'of none')}; go on with the same, or name another run folder."
            )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    # Every process of a distributed run opens the folder.
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n", several_writers=True)
