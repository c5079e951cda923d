"""The one reader of settings. Flags override the environment, which overrides a settings file, which overrides
defaults.

Each setting is declared once, as a field of a class derived from `Settings` or `Command`: flag, environment name, key
in a settings file and help text follow from the field. An object of such a class holds its constructor's values and
reads nothing itself; `read_command` and `read_program` do the reading.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from cli.environment import Program, close_name, own_names
from cli.errors import BadSettings
from cli.sections import flag, read_flags

Values = dict[str, Any]
_POSITIONAL = get_args(CliPositionalArg[str])[1]


class Settings(BaseSettings):
    """Base of all settings classes."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the values passed to the constructor."""
        return (init_settings,)


class Command(Settings):
    """Base of the settings of one subcommand. A program's own base sets `env_prefix`."""

    model_config = SettingsConfigDict(
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_enforce_required=False,
    )


AnySettings = TypeVar("AnySettings", bound=Settings)
AnyCommand = TypeVar("AnyCommand", bound=Command)


def read_command(
    kind: type[AnyCommand], program: Program, name: str, argv: Sequence[str], known: Sequence[type[Command]]
) -> AnyCommand:
    """Reads the settings of the command `name`. `known` are the classes of all commands, whose environment names are
    allowed.

    Raises `BadSettings` with one sentence per fault; `--help` prints and raises SystemExit.
    """
    _refuse_unknown(program, kind, known)
    try:
        flags = _flags(kind, argv)
        environment = _environment(kind, os.environ)
        given = _merged(environment, flags)
        return kind(**_merged(program.file(given), given) if program.file else given)
    except ValidationError as error:
        raise BadSettings("\n".join(_sentence(problem) for problem in error.errors(include_url=False))) from None
    except SettingsError as error:
        raise BadSettings(f"{error}; `{program.name} {name} --help` lists all.") from None


def read_program(
    kind: type[AnySettings], program: Program, argv: Sequence[str], environ: Mapping[str, str]
) -> AnySettings:
    """Reads the settings of a program without subcommands; the bases of `kind` are the sections of its help.

    An empty environment value counts as absent. Raises `BadSettings` with one sentence per fault; `--help` and
    `--version` print and raise SystemExit.
    """
    flags = read_flags(kind, program, argv)
    environment = _environment(kind, _known(kind, program, environ))
    values = environment | flags
    try:
        return kind(**values)
    except ValidationError as error:
        names = {name: f"{program.prefix}{name.upper()}=" for name in environment}
        names |= {name: f"{flag(name)} " for name in flags}
        raise BadSettings("\n".join(_sentences_by_source(error, values, names))) from None


def _flags(kind: type[Command], argv: Sequence[str]) -> Values:
    source = CliSettingsSource[Any](
        kind,
        cli_parse_args=list(argv),
        cli_exit_on_error=False,
        case_sensitive=False,
        parse_args_method=partial(_parsed, kind),
    )
    return source()


def _parsed(
    kind: type[Command], parser: ArgumentParser, words: Sequence[str], namespace: Namespace | None = None
) -> Namespace:
    """Positional words are taken as the shell gives them: a file's name may hold commas, quotes or control characters,
    or be a number. Lists of flags are split at commas."""
    found = parser.parse_args(words, namespace)
    for name, field in kind.model_fields.items():
        if _POSITIONAL in field.metadata and isinstance(given := getattr(found, name, None), list) and given:
            setattr(found, name, json.dumps(given))
    return found


def _environment(kind: type[Settings], environ: Mapping[str, str]) -> Values:
    source = EnvSettingsSource(kind)
    source.env_vars = {name.lower(): value for name, value in environ.items()}
    return source()


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Values:
    """Merges both; `above` wins where both have a value, also within nested objects."""
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _refuse_unknown(program: Program, kind: type[Command], known: Sequence[type[Command]]) -> None:
    delimiter = kind.model_config.get("env_nested_delimiter")
    names = {f"{program.prefix}{field.upper()}" for each in known for field in each.model_fields}
    for name in own_names(program, os.environ):
        outer = name.split(delimiter)[0] if delimiter else name
        if outer.upper() not in names:
            raise BadSettings(f"{name} is no setting of {program.name}; unset it, or look its name up with --help.")


def _known(kind: type[Settings], program: Program, environ: Mapping[str, str]) -> dict[str, str]:
    """The program's own variables that are not empty. Raises `BadSettings` for one that is not a setting."""
    known = {f"{program.prefix}{field.upper()}" for field in kind.model_fields}
    names = own_names(program, environ)
    for name in names:
        if name not in known:
            close = close_name(name, known, program.prefix)
            raise BadSettings(f"{name} is no setting{close} --help lists all.")
    return {name: environ[name] for name in names if environ[name].strip()}


def _sentence(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"'{place}' is not given, and it has no default."
    if problem["type"] == "extra_forbidden":
        return f"'{place}' is no setting of this command."
    return f"'{place}' is {problem['input']!r}: {message}." if place else f"{message}."


def _sentences_by_source(error: ValidationError, values: Values, names: Mapping[str, str]) -> Iterator[str]:
    """Each sentence begins with the flag or variable that the user wrote."""
    for problem in error.errors(include_url=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        name = str(problem["loc"][0]) if problem["loc"] else None
        yield f"{names[name]}{values[name]!r} {message}." if name else f"{message}."
