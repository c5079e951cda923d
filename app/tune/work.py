"""FOLDER/work: the files of the steps, and a manifest for each step of what they were made from.

A step whose manifest says that its files were made from the same inputs and settings is not done again. A manifest is
written last, so after a kill at any moment the step that was under way begins anew, or goes on where it keeps a
journal of its own. A step's work is the same each time, and so are its files, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from cli.errors import BadInput
from cli.output import translate_disk_errors, write_json_lines, write_text
from contract.files import disk_is_full

VERSION = 1  # of what the steps do; another one does all of them again


@dataclass(frozen=True, slots=True)
class Step:
    """`files` are what it writes in FOLDER/work; `needs` the steps whose files it reads; `settings` what else decides
    its files. `run` returns what to keep in the manifest and to show: names to numbers or texts."""

    name: str
    files: tuple[str, ...]
    needs: tuple[str, ...]
    settings: Mapping[str, Any]
    run: Callable[[], Mapping[str, Any]]


class Work:
    """The folder, held by this process alone from `with` to its end. Raises `BadInput` where another holds it, or
    where it cannot be made."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = out / "work"

    def __enter__(self) -> Self:
        with translate_disk_errors(self.out):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(self.path / "lock")
                self._lock.acquire(timeout=0)
                for part in self.path.glob("*.part"):  # of a run that was killed while it wrote the file
                    part.unlink(missing_ok=True)
            except Timeout:
                raise BadInput(f"{self.out} is being worked in by another run; wait for it or name another.") from None
            except OSError as error:
                if disk_is_full(error):
                    raise
                raise BadInput(f"{self.out} cannot be written ({error.strerror}); name another --out.") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def file(self, name: str) -> Path:
        return self.path / name

    def only(self, name: str, pattern: str) -> Path:
        """The file or folder `name`, which may not be there; the others that match `pattern` are removed."""
        for old in self.path.glob(pattern):
            if old.name != name and old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            elif old.name != name:
                old.unlink(missing_ok=True)
        return self.file(name)

    def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Replace a file of rows; their number. Raises `DiskFull`."""
        return write_json_lines(self.file(name), {"format": f"limrank.tune.{name.removesuffix('.jsonl')}"}, rows)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a file."""
        with self.file(name).open("rb") as file:
            file.readline()
            for line in file:
                yield json.loads(line)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a file of one object. Raises `DiskFull`."""
        write_text(self.file(name), json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n")

    def json(self, name: str) -> dict[str, Any]:
        """The object of a file."""
        found: dict[str, Any] = json.loads(self.file(name).read_text(encoding="utf-8"))
        return found

    def key(self, step: Step) -> str:
        """A hash of all that decides the step's files."""
        made_from = {
            "step": step.name,
            "version": VERSION,
            "settings": dict(step.settings),
            "needs": {name: self.json(f"{name}.manifest.json")["files"] for name in step.needs},
        }
        text = json.dumps(made_from, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def done(self, step: Step) -> dict[str, Any] | None:
        """What the manifest says, where the step's files are there and are those that it would write now."""
        path = self.file(f"{step.name}.manifest.json")
        if not path.exists() or any(not self.file(f"{need}.manifest.json").exists() for need in step.needs):
            return None
        try:
            manifest = self.json(path.name)
            as_now = manifest["key"] == self.key(step) and manifest["files"] == self._sums(step.files)
            return dict(manifest["told"]) if as_now else None
        except (ValueError, LookupError, TypeError):  # damaged, so the step is done anew
            return None

    def finish(self, step: Step, told: Mapping[str, Any], seconds: float) -> None:
        """Write the manifest of a step whose files are written. Its time does not count for what depends on it."""
        manifest = {"key": self.key(step), "files": self._sums(step.files), "told": dict(told)}
        self.write_json(f"{step.name}.manifest.json", manifest)
        self.write_json(f"{step.name}.seconds.json", {"seconds": round(seconds, 1)})

    def told(self, name: str) -> dict[str, Any]:
        """What the manifest of a finished step says."""
        return dict(self.json(f"{name}.manifest.json")["told"])

    def seconds(self) -> dict[str, float]:
        """The time of each step that has one, by name."""
        files = sorted(self.path.glob("*.seconds.json"))
        return {file.name.removesuffix(".seconds.json"): self.json(file.name)["seconds"] for file in files}

    def _sums(self, names: Sequence[str]) -> dict[str, str]:
        return {name: file_sum(self.file(name)) for name in names}


def file_sum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; of a folder that of its files with their names; empty where there is none."""
    if path.is_dir():
        lines = [
            f"{file.relative_to(path).as_posix()} {file_sum(file)}"
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
