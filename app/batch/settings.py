"""The settings of `limrank batch`. Only `app.batch.command` and its direct callees see them."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from app.batch import parquet
from cli import settings as base
from cli.choices import EngineName, ModeName
from cli.environment import Program
from contract.files import at_home

PROGRAM = Program("limrank", "LIMRANK_BATCH_")


class Batch(base.Command):
    """Rerank a file of calls; the same command resumes after a stop or a kill."""

    model_config = SettingsConfigDict(env_prefix=PROGRAM.prefix, cli_avoid_json=True, cli_prog_name="limrank batch")

    source: CliPositionalArg[Path] = Field(
        description="calls to answer: lines with custom_id, url and body, as OpenAI's batch files, or Parquet"
    )
    out: CliPositionalArg[Path] = Field(
        description="answers, a line each, appended as calls finish; with the ending .parquet written at the end"
    )
    url: str | None = Field(default=None, description="a running service, such as http://127.0.0.1:8080")
    key_variable: str | None = Field(default=None, description="environment variable that holds the service's key")
    model: str | None = Field(default=None, description="folder, hub id or embedded model to load; default: embedded")
    engine: EngineName | None = Field(default=None, description="engine that runs the model; default: auto")
    mode: ModeName | None = Field(default=None, description="mode of calls that name none; default: direct")
    reasoning_budget: int | None = Field(
        default=None, ge=0, description="adaptive mode: the most tokens to write for a call that names no budget"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads of the model; default: one per core")
    limit: int | None = Field(default=None, ge=1, description="answer at most N calls now, for a trial")
    concurrency: int | None = Field(
        default=None, ge=1, description="calls in flight at a time; default: 256 here, 32 with --url"
    )
    timeout_seconds: float = Field(default=600.0, gt=0, description="longest time for one call, with --url")
    ray: str | None = Field(
        default=None, min_length=1, description="address of a Ray cluster, such as auto or local: workers there answer"
    )
    ray_workers: int | None = Field(default=None, ge=1, description="number of workers; default: as many as fit")
    ray_cpus: int = Field(default=1, ge=1, description="CPUs of a worker, on a cluster without GPUs")
    ray_gpus: float | None = Field(default=None, gt=0, description="GPUs of a worker; default: 1 where there are any")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.url is not None and (self.model or self.engine or self.threads):
            raise ValueError("--url and --model, --engine or --threads contradict each other: the service has its own")
        if self.url is not None and not (self.mode is None and self.reasoning_budget is None):
            name = "reasoning_budget" if self.mode is None else "mode"
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} is for a model loaded here; with --url write `{name}` into the bodies")
        if self.ray is not None and self.url is not None:
            raise ValueError("--ray and --url contradict each other: a service is asked from one place")
        if not self.out.name:
            raise ValueError(f"OUT is {str(self.out)!r}, which is a folder; name a file")
        if _same(self.source, self.out):
            raise ValueError("IN and OUT are the same file; name another OUT")
        log = parquet.log_of(self.out)
        own = [log, *(log.with_name(log.name + ending) for ending in (".errors", ".run.json", ".calls", ".lock"))]
        if path := next((path for path in own if _same(self.source, path)), None):
            raise ValueError(f"IN is {path}, which is written beside OUT; name another OUT")
        return self


def _same(one: Path, other: Path) -> bool:
    """Whether both paths lead to one file, also by links."""
    try:
        return at_home(one).resolve() == at_home(other).resolve() or at_home(one).samefile(at_home(other))
    except (OSError, RuntimeError):  # one is not there, or cannot be
        return False
