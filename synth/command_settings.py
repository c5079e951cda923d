"""The knobs of `limrank-synth`, each written once: flag, environment name and help come from the field.

`--generator.model`, `LIMRANK_SYNTH_GENERATOR__MODEL` and `model` under `[generator]` in the TOML file that `--settings`
names are one knob. A flag wins over the environment, the environment over the file. Objects of these classes stop at
the entry point of a command.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliApp, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from synth.errors import BadSettings

PREFIX = "LIMRANK_SYNTH_"
NESTED = "__"


class Command(BaseSettings):
    """Base of every command's knobs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        extra="forbid",
        frozen=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_enforce_required=False,
        protected_namespaces=(),
    )

    settings: Path | None = Field(default=None, description="TOML file of settings; flags and environment win over it")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _File(settings_cls)


AnyCommand = TypeVar("AnyCommand", bound=Command)


def read_command(
    kind: type[AnyCommand],
    name: str,
    argv: Sequence[str],
    known: Sequence[type[Command]],
    program: str = "limrank-synth",
) -> AnyCommand:
    """The settings of one command; `known` are the classes of all commands, whose environment names are allowed.

    Raises `BadSettings`, one sentence for each thing that is wrong; `--help` prints and raises SystemExit.
    """
    _refuse_unknown(os.environ, known)
    try:
        return CliApp.run(kind, cli_args=list(argv), cli_settings_source=None, cli_exit_on_error=False)
    except ValidationError as error:
        raise BadSettings("\n".join(_sentence(problem) for problem in error.errors(include_url=False))) from None
    except SettingsError as error:
        raise BadSettings(f"{error}; `{program} {name} --help` lists all.") from None


class _File(PydanticBaseSettingsSource):
    """The TOML file that a flag or the environment named."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = self.current_state.get("settings")
        if path is None:
            return {}
        try:
            return tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings(f"{path}: cannot be read ({error.strerror}); --settings names a TOML file.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{path}: not TOML ({error}).") from None


def _refuse_unknown(environ: Mapping[str, str], known: Sequence[type[Command]]) -> None:
    names = {PREFIX + field.upper() for kind in known for field in kind.model_fields}
    for name in environ:
        if name.startswith(PREFIX) and name.split(NESTED)[0].upper() not in names:
            raise BadSettings(f"{name} is no setting of limrank-synth; unset it, or look its name up with --help.")


def _sentence(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"'{place}' is not given, and it has no default."
    if problem["type"] == "extra_forbidden":
        return f"'{place}' is no setting of this command."
    return f"'{place}' is {problem['input']!r}: {message}." if place else f"{message}."
