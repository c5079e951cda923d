"""The settings of `limrank-eval`, each defined once: flag, environment name and help come from the field.

`--max-tokens-per-doc` and `LIMRANK_TRAIN_EVAL_MAX_TOKENS_PER_DOC` are one setting; the flag takes precedence. Objects
of these classes stop at the entry point of a command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from evaluation.errors import BadSettings

PREFIX = "LIMRANK_TRAIN_EVAL_"

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Engine = Literal["auto", "transformers", "vllm", "cross-encoder"]


class Command(BaseSettings):
    """Base of every command's settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_enforce_required=False,
        protected_namespaces=(),
    )


class Scoring(Command):
    """The scorer and how it is asked. Exactly one of the first six fields names it."""

    model: str | None = Field(default=None, description="folder, embedded model or hub id, served in a child process")
    url: str | None = Field(default=None, description="a service that runs already, such as http://127.0.0.1:8080")
    run_file: Path | None = Field(default=None, description="TREC run file: a ranking made elsewhere")
    bm25: bool = Field(default=False, description="BM25 over the task's own corpus")
    bi_encoder: str | None = Field(default=None, description="sentence-transformers model id or folder")
    cross_encoder: str | None = Field(default=None, description="cross-encoder of the Hugging Face kind: id or folder")
    label: str | None = Field(default=None, description="name in tables and folders; default: the scorer's own")
    mode: Literal["direct", "reasoning"] = Field(default="direct", description="mode of the service")
    max_reasoning_tokens: int | None = Field(default=None, ge=1, description="trace budget; default: the service's")
    max_tokens_per_doc: int | None = Field(default=None, ge=1, description="cut passages; default: the model's limit")
    engine: Engine = Field(default="auto", description="engine of the child process")
    dtype: Dtype = Field(default="auto", description="number format of the weights in the child process")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of the child process")
    concurrency: int = Field(default=2, ge=1, description="calls to the service at a time")
    documents_per_call: int = Field(default=32, ge=1, description="passages in one call; what a stop can lose")
    timeout_seconds: float = Field(default=600.0, gt=0, description="longest time for one call")
    key_variable: str | None = Field(default=None, description="environment variable that holds the service's key")

    @model_validator(mode="after")
    def _one_scorer(self) -> Self:
        given = [self.model, self.url, self.run_file, self.bm25 or None, self.bi_encoder, self.cross_encoder]
        if sum(scorer is not None for scorer in given) != 1:
            raise ValueError(
                "name one scorer: --model, --url, --run-file, --bm25, --bi-encoder or --cross-encoder, and only one"
            )
        return self


AnyCommand = TypeVar("AnyCommand", bound=Command)


def read_command(
    kind: type[AnyCommand],
    name: str,
    argv: Sequence[str],
    known: Sequence[type[Command]],
    program: str = "limrank-eval",
) -> AnyCommand:
    """The settings of one command; `known` are the classes of all, whose environment names are allowed.

    Raises `BadSettings`, one sentence for each thing that is wrong; `--help` prints and raises SystemExit.
    """
    _refuse_unknown(os.environ, known)
    try:
        return CliApp.run(kind, cli_args=list(argv), cli_settings_source=None, cli_exit_on_error=False)
    except ValidationError as error:
        raise BadSettings("\n".join(_sentence(problem) for problem in error.errors(include_url=False))) from None
    except SettingsError as error:
        raise BadSettings(f"{error}; `{program} {name} --help` lists all.") from None


def _refuse_unknown(environ: Mapping[str, str], known: Sequence[type[Command]]) -> None:
    names = {PREFIX + field.upper() for kind in known for field in kind.model_fields}
    for name in environ:
        if name.startswith(PREFIX) and name.upper() not in names:
            raise BadSettings(f"{name} is no setting of limrank-eval; unset it, or look its name up with --help.")


def _sentence(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"'{place}' is not given, and it has no default."
    if problem["type"] == "extra_forbidden":
        return f"'{place}' is no setting of this command."
    return f"'{place}' is {problem['input']!r}: {message}." if place else f"{message}."
