"""Flags of a program without subcommands: each base of its settings class is a section of the help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cli.environment import Program, close_name
from cli.errors import BadSettings
from cli.version import installed_version

_METAVARS = {int: "N", float: "X", Path: "PATH"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadSettings(f"{message[:1].upper()}{message[1:]}; --help lists all.")


def read_flags(kind: type[BaseModel], program: Program, argv: Sequence[str]) -> dict[str, Any]:
    """The values given by flags, as strings and booleans. Raises `BadSettings`; `--help` and `--version` print and
    raise SystemExit."""
    found, unknown = _parser(kind, program).parse_known_args(argv)
    if unknown:
        name = unknown[0].split("=")[0]
        close = close_name(name, map(flag, kind.model_fields), "--")
        raise BadSettings(f"{name} is no flag{close} --help lists all.")
    return vars(found)


def flag(field: str) -> str:
    """The flag of a field."""
    return "--" + field.replace("_", "-")


def _parser(kind: type[BaseModel], program: Program) -> argparse.ArgumentParser:
    parser = _Parser(
        program.name,
        usage=f"%(prog)s {program.usage}",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        epilog=f"Every flag can be given in the environment: --some-flag is {program.prefix}SOME_FLAG. Flags win.",
    )
    parser.add_argument("--version", action="version", version=installed_version())
    for section in kind.__bases__:
        if issubclass(section, BaseModel):
            group = parser.add_argument_group(section.__doc__)
            for name, field in section.model_fields.items():
                _add(group, name, field)
    return parser


def _add(group: Any, name: str, field: FieldInfo) -> None:
    if field.annotation is bool:
        group.add_argument(flag(name), action=argparse.BooleanOptionalAction, help=_help(field))
    else:
        group.add_argument(flag(name), metavar=_metavar(field.annotation), help=_help(field))


def _help(field: FieldInfo) -> str:
    default = field.default.value if isinstance(field.default, Enum) else field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    shown = field.description or ""
    if default is not None and default != "" and default is not False:
        shown += f" (default {default:d})" if isinstance(default, int) else f" (default {default})"
    return shown.replace("%", "%%")


def _metavar(annotation: Any) -> str:
    """How help shows a flag's value: the choices, or a letter for the type."""
    if get_origin(annotation) is Literal:
        return "{" + ",".join(get_args(annotation)) + "}"
    if get_args(annotation) and get_origin(annotation) is not tuple:  # Optional, Annotated: the wrapped type
        return _metavar(get_args(annotation)[0])
    if not isinstance(annotation, type):
        return "TEXT"
    if issubclass(annotation, Enum):
        return "{" + ",".join(member.value for member in annotation) + "}"
    return next((letter for kind, letter in _METAVARS.items() if issubclass(annotation, kind)), "TEXT")
