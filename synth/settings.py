"""The settings of `limrank-synth`: those that all its commands share, and those of a run.

`--generator.model`, `LIMRANK_SYNTH_GENERATOR__MODEL` and `model` under `[generator]` in the TOML file given by
`--settings` are one setting. Objects of these classes stop at the entry point of a command.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from cli import settings as base
from cli.environment import Program
from llm.endpoint import Endpoint
from synth.errors import BadSettings
from synth.llm.stage import Role
from synth.methods.corpus.settings import CorpusSettings
from synth.methods.persona.settings import LimrankSettings


def settings_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the TOML file that a flag or the environment named. Raises `BadSettings`."""
    path = given.get("settings")
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read ({error.strerror}); --settings names a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: not TOML ({error}).") from None


PROGRAM = Program("limrank-synth", "LIMRANK_SYNTH_", file=settings_file)


class Command(base.Command):
    """Base of every command's settings."""

    model_config = SettingsConfigDict(env_prefix=PROGRAM.prefix, env_nested_delimiter="__")

    settings: Path | None = Field(default=None, description="TOML file of settings; flags and environment override it")


class Method(StrEnum):
    LIMRANK = "limrank"
    CORPUS = "corpus"


class RunOptions(BaseModel):
    """The settings that determine which calls are made and how replies are used; stored in the run folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Method = Field(default=Method.LIMRANK, description="limrank (persona-guided) or corpus (groups)")
    generator: Endpoint = Field(default=Endpoint(), description="the endpoint that writes")
    judge: Endpoint = Field(default=Endpoint(), description="the endpoint that judges; unset: the one that writes")
    limrank: LimrankSettings = LimrankSettings()
    corpus: CorpusSettings = CorpusSettings()
    random_seed: int = Field(default=0, description="seed of every draw")
    output_licence: str = Field(
        default="", description="licence or terms on the models' output (SPDX), added to every record's licence"
    )

    def endpoint(self, role: Role) -> Endpoint:
        return self.generator if role is Role.GENERATOR or self.judge == Endpoint() else self.judge

    @property
    def endpoints(self) -> dict[Role, Endpoint]:
        return {role: self.endpoint(role) for role in Role}


class RunSettings(RunOptions, Command):  # type: ignore[misc]  # typed apart: a model's configuration and a settings class's
    """Make training data with language models. Resumes an existing run folder."""

    run: CliPositionalArg[Path] = Field(description="folder of the run; created if missing")
    templates: Path | None = Field(default=None, description="folder of prompt templates that replace built-in ones")
    budget: float | None = Field(
        default=None, gt=0, description="most money to spend in this folder, over all its runs"
    )
    dry_run: bool = Field(default=False, description="print the calls and cost of the run without making calls")
    report_seconds: float = Field(
        default=10.0, gt=0, description="seconds between progress lines when the output is not a terminal"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = [
            f"name the model of the {role}: --{role}.model"
            for role in Role
            if not self.endpoint(role).model and (role is Role.GENERATOR or self.endpoint(role) != self.generator)
        ]
        if self.budget is not None and not all(self.endpoint(role).priced for role in Role):
            problems.append(
                "a budget needs prices of both endpoints: --generator.price-prompt, --judge.price-prompt, ..."
            )
        problems += [
            f"--method {self.method} needs --{self.method}.{name.replace('_', '-')}" for name in self._missing_inputs()
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _missing_inputs(self) -> list[str]:
        """The settings that name files and licences and are not given."""
        section = self.limrank if self.method is Method.LIMRANK else self.corpus
        needed: tuple[str, ...] = ("seeds", "seeds_licence", "personas", "personas_licence")
        if self.method is Method.CORPUS:
            needed = ("documents", "documents_licence", "examples", "examples_licence")
            if not self.corpus.examples and self.corpus.documents and self.corpus.documents.is_dir():
                needed = needed[:2]  # the folder has examples of its own, under its own licence
        return [name for name in needed if not getattr(section, name)]
