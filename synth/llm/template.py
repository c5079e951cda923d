"""Prompt templates: one text file per stage, checked against the stage's variables before any call is made.

A file has two parts, which begin with the lines `## system` and `## user`. `${name}` is a variable; `$$` is a dollar
sign. Values are substituted once and never parsed as templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template

from llm.base import Message
from synth.errors import BadSettings


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A checked template. `sha256` is that of the file's text."""

    name: str
    text: str
    system: Template
    user: Template

    def messages(self, values: Mapping[str, str]) -> tuple[Message, Message]:
        """The two messages. `values` has exactly the checked variables."""
        return (
            Message("system", self.system.substitute(values)),
            Message("user", self.user.substitute(values)),
        )

    @property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def load_template(name: str, variables: Iterable[str], folder: Path | None = None) -> PromptTemplate:
    """The template `<name>.txt` of `folder`, or of this package when the folder has none.

    Raises `BadSettings` when it uses a variable that the stage does not provide, omits one, or lacks a part.
    """
    own = folder / f"{name}.txt" if folder else None
    if own and own.exists():
        where, text = str(own), own.read_text(encoding="utf-8")
    else:
        where, text = f"{name}.txt", files("synth").joinpath("templates", f"{name}.txt").read_text(encoding="utf-8")
    head, found, user = text.partition("\n## user\n")
    if not found or not head.startswith("## system\n"):
        raise BadSettings(f"{where}: a template begins with the line '## system' and goes on with '## user'.")
    template = PromptTemplate(name, text, Template(head.removeprefix("## system\n").strip()), Template(user.strip()))
    _check(where, template, set(variables))
    return template


def _check(where: str, template: PromptTemplate, known: set[str]) -> None:
    parts = (template.system, template.user)
    if not all(part.is_valid() for part in parts):
        raise BadSettings(f"{where}: a '$' stands alone or before no name; write '$$' for a dollar sign.")
    used = {name for part in parts for name in part.get_identifiers()}
    names = ", ".join(sorted(known))
    if used - known:
        raise BadSettings(f"{where}: '${{{min(used - known)}}}' has no value here; the variables are {names}.")
    if known - used:
        raise BadSettings(f"{where}: '${{{min(known - used)}}}' is not used, so the model would not see it; put it in.")
