"""Reads the Dockerfile: its stages and what each of them says."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from tests.processes import ROOT

DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's name, what it is built on, and its instructions in order."""

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [rest for word, rest in self.instructions if word == instruction]

    def variables(self) -> dict[str, str]:
        """What its ENV lines set."""
        pairs = [pair.partition("=") for line in self.all("ENV") for pair in shlex.split(line)]
        return {name: value for name, _, value in pairs}

    def command(self, instruction: str) -> list[str]:
        """The words of its last ENTRYPOINT or HEALTHCHECK, in the form that no shell reads."""
        words: list[str] = json.loads(re.search(r"\[.*\]", self.all(instruction)[-1])[0])  # type: ignore[index]
        return words


def stages() -> dict[str, Stage]:
    """All stages by name."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {}
    for chunk in re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]:
        head, *lines = [line for line in chunk.splitlines() if line.strip()]
        _, base, _, name = head.split()
        pairs = [line.partition(" ") for line in lines]
        found[name] = Stage(name, base, tuple((word, " ".join(rest.split())) for word, _, rest in pairs))
    return found


def with_bases(name: str) -> list[Stage]:
    """The stage and those it is built on, the last first."""
    known, chain = stages(), []
    while name in known:
        chain.append(known[name])
        name = chain[-1].base
    return chain
