"""The settings of `limrank-eval`; `--max-tokens-per-doc` and `LIMRANK_TRAIN_EVAL_MAX_TOKENS_PER_DOC` are one setting.
Objects of these classes stop at the entry point of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from cli import settings as base
from cli.choices import Dtype, EngineName
from cli.environment import Program

PROGRAM = Program("limrank-eval", "LIMRANK_TRAIN_EVAL_")


class Command(base.Command):
    """Base of every command's settings."""

    model_config = SettingsConfigDict(env_prefix=PROGRAM.prefix, cli_avoid_json=True)


class Scoring(Command):
    """The scorer and its options. Exactly one of the first seven fields names it."""

    model: str | None = Field(default=None, description="folder, embedded model or hub id, served in a child process")
    url: str | None = Field(default=None, description="a running service, such as http://127.0.0.1:8080")
    run_file: Path | None = Field(default=None, description="TREC run file: a ranking made elsewhere")
    bm25: bool = Field(default=False, description="BM25 over the task's own corpus")
    bi_encoder: str | None = Field(default=None, description="sentence-transformers model id or folder")
    cross_encoder: str | None = Field(default=None, description="cross-encoder of the Hugging Face kind: id or folder")
    list_model: str | None = Field(
        default=None, description="folder of a setwise or listwise model, merged by limrank-train merge"
    )
    label: str | None = Field(default=None, description="name in tables and folders; default: the scorer's own")
    mode: Literal["direct", "reasoning"] = Field(default="direct", description="mode of the service")
    max_reasoning_tokens: int | None = Field(default=None, ge=1, description="trace budget; default: the service's")
    max_tokens_per_doc: int | None = Field(
        default=None, ge=1, description="most tokens of a passage; default: the model's limit"
    )
    engine: EngineName = Field(default="auto", description="engine of the child process")
    dtype: Dtype = Field(default="auto", description="number format of the weights in the child process")
    threads: int | None = Field(default=None, ge=1, description="CPU threads of the child process")
    concurrency: int = Field(default=2, ge=1, description="calls to the service at a time")
    documents_per_call: int = Field(default=32, ge=1, description="passages per call; a stop loses at most this many")
    timeout_seconds: float = Field(default=600.0, gt=0, description="longest time for one call")
    key_variable: str | None = Field(default=None, description="environment variable that holds the service's key")

    @model_validator(mode="after")
    def _one_scorer(self) -> Self:
        given = [self.model, self.url, self.run_file, self.bm25 or None, self.bi_encoder, self.cross_encoder]
        given.append(self.list_model)
        if sum(scorer is not None for scorer in given) != 1:
            raise ValueError(
                "name one scorer: --model, --url, --run-file, --bm25, --bi-encoder, --cross-encoder or --list-model, "
                "and only one"
            )
        return self
