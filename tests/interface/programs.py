"""The console scripts by name, and a process in which one of them is called again and again without a new start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.warm import WarmProcess

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPTS: dict[str, str] = PROJECT["project"]["scripts"]
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Program:
    """A console script in a process of its own, which takes one call after another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._log: list[str] = []

    def __enter__(self) -> Self:
        self._process = WarmProcess(
            [sys.executable, "-m", "tests.interface.child", self.name],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def call(self, *argv: object, entry: str = "", **environment: str) -> Outcome:
        """What the program does with these arguments; `entry` names another function to call in its place."""
        request = {"entry": entry or SCRIPTS[self.name], "argv": [str(word) for word in argv], "env": environment}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process of {self.name} ended while it was given {request}"
        return Outcome(**json.loads(answer))

    def succeed(self, *argv: object, entry: str = "", **environment: str) -> str:
        """As `call`; the standard output, after an exit code of 0."""
        outcome = self.call(*argv, entry=entry, **environment)
        assert outcome.code == 0, f"{self.name} {' '.join(map(str, argv))}: exit code {outcome.code}\n{outcome.err}"
        return outcome.out


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of ours that a developer may have set; help output is not wrapped in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIMRANK_")}
    return kept | {"COLUMNS": "1000", "CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "PASSIVE"} | more


def server_command(name: str, *arguments: object) -> list[str]:
    """The command line of a console script as a process of its own, from this folder and not from an installation."""
    return [sys.executable, "-m", "tests.interface.script", name, *map(str, arguments)]
