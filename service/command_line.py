"""Flags and environment become settings: for any pydantic class whose bases are the sections of its help."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Knobs = TypeVar("Knobs", bound=BaseModel)

# What Kubernetes puts into every pod for a Service whose name begins like our prefix. `<PREFIX>PORT`, a knob of ours
# too, is Kubernetes' when its value is an address; no port number looks like that.
_SERVICE_NAME = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_METAVARS = {int: "N", float: "X", Path: "PATH"}


class SettingsError(Exception):
    """A flag or environment value that cannot be used; one sentence each."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message[:1].upper()}{message[1:]}; --help lists all.")


def read_settings(
    knobs: type[Knobs],
    program: str,
    prefix: str,
    argv: Sequence[str],
    environ: Mapping[str, str],
    foreign: Sequence[str],
) -> Knobs:
    """Settings from flags, then environment, then defaults. An empty environment value counts as absent.

    Environment names that begin with `prefix` and are no knob are refused, unless they begin with one of `foreign` or
    are Kubernetes'. Raises SettingsError; `--help` and `--version` print and raise SystemExit.
    """
    flags = _flags(_parser(knobs, program, prefix), knobs, argv)
    values: dict[str, Any] = _environment(knobs, prefix, environ, foreign) | flags
    try:
        return knobs.model_validate(values)
    except ValidationError as error:
        sources = {name: f"{prefix}{name.upper()}=" for name in values} | {name: f"{_flag(name)} " for name in flags}
        raise SettingsError("\n".join(_sentences(error, values, sources))) from None


def installed_version() -> str:
    """The version of the installed distribution; `unknown` when the code runs from a folder that is not installed."""
    try:
        return version("limrank")
    except PackageNotFoundError:
        return "unknown"


def _parser(knobs: type[BaseModel], program: str, prefix: str) -> argparse.ArgumentParser:
    parser = _Parser(
        program,
        usage="%(prog)s [flags]",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        epilog=f"Every flag can be given in the environment: --some-flag is {prefix}SOME_FLAG. Flags win.",
    )
    parser.add_argument("--version", action="version", version=installed_version())
    for section in (base for base in knobs.__bases__ if issubclass(base, BaseModel)):
        group = parser.add_argument_group(section.__doc__)
        for name, field in section.model_fields.items():
            _add(group, name, field)
    return parser


def _add(group: Any, name: str, field: FieldInfo) -> None:
    flag, text = _flag(name), _help(field)
    if field.annotation is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
    else:
        group.add_argument(flag, metavar=_metavar(field.annotation), help=text)


def _help(field: FieldInfo) -> str:
    default = field.default.value if isinstance(field.default, Enum) else field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    shown = field.description or ""
    if default is not None and default != "" and default is not False:
        shown += f" (default {default:d})" if isinstance(default, int) else f" (default {default})"
    return shown.replace("%", "%%")


def _metavar(annotation: Any) -> str:
    """What a flag's value looks like: the choices, or a letter for the type."""
    if get_origin(annotation) is Literal:
        return "{" + ",".join(get_args(annotation)) + "}"
    if get_args(annotation) and get_origin(annotation) is not tuple:  # Optional and Annotated: what they wrap
        return _metavar(get_args(annotation)[0])
    if not isinstance(annotation, type):
        return "TEXT"
    if issubclass(annotation, Enum):
        return "{" + ",".join(member.value for member in annotation) + "}"
    return next((letter for kind, letter in _METAVARS.items() if issubclass(annotation, kind)), "TEXT")


def _flags(parser: argparse.ArgumentParser, knobs: type[BaseModel], argv: Sequence[str]) -> dict[str, Any]:
    found, unknown = parser.parse_known_args(argv)
    if unknown:
        flag = unknown[0].split("=")[0]
        raise SettingsError(
            f"{flag} is no flag{_did_you_mean(flag, map(_flag, knobs.model_fields), '--')} --help lists all."
        )
    return vars(found)


def _environment(
    knobs: type[BaseModel], prefix: str, environ: Mapping[str, str], foreign: Sequence[str]
) -> dict[str, str]:
    known = {prefix + field.upper(): field for field in knobs.model_fields}
    ours = {}
    for name, value in environ.items():
        if not name.startswith(prefix) or name.startswith(tuple(foreign)) or _of_kubernetes(name, value):
            continue
        if name not in known:
            raise SettingsError(f"{name} is no setting{_did_you_mean(name, known, prefix)} --help lists all.")
        if value.strip():
            ours[known[name]] = value
    return ours


def _of_kubernetes(name: str, value: str) -> bool:
    return bool(_SERVICE_NAME.search(name)) or (name.endswith("_PORT") and bool(_SERVICE_ADDRESS.match(value)))


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def _did_you_mean(name: str, known: Iterable[str], prefix: str) -> str:
    """Compared without what all of them share, which would make any name look close."""
    close = difflib.get_close_matches(name.removeprefix(prefix), [each.removeprefix(prefix) for each in known], n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else "."


def _sentences(error: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        name = str(problem["loc"][0]) if problem["loc"] else None
        yield f"{sources[name]}{values[name]!r} {message}." if name else f"{message}."
