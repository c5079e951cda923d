"""All knobs of the service, what contradicts what among them, and how they are read. Objects of this class stop at the
entry point. To add knobs (an engine's, say), add a section (`service.sections`) to the bases of `Settings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import model_validator

from cli import settings as base
from cli.environment import Program
from cli.values import check_origins, is_loopback
from service.sections import (
    PREFIX,
    Access,
    FirstStage,
    Limits,
    Listening,
    Model,
    Observing,
    Scoring,
    Stopping,
    Vllm,
)

# Names of the other two programs and of the tests, which a shared environment may hold.
FOREIGN = (
    "LIMRANK_SYNTH_",
    "LIMRANK_TRAIN_",
    "LIMRANK_RERANK_",
    "LIMRANK_BATCH_",
    "LIMRANK_PLAN_",
    "LIMRANK_TEST_",
    "LIMRANK_REQUIRE",
)
PROGRAM = Program("limrank-serve", PREFIX, FOREIGN, usage="[inspect MODEL] [flags]")


class Settings(Listening, Model, FirstStage, Vllm, Scoring, Limits, Stopping, Access, Observing):
    """All knobs. Raises pydantic's ValidationError for values that are wrong or contradict each other."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.keys_file and self.allow_anonymous:
            raise ValueError("--keys-file and --allow-anonymous contradict each other; remove one")
        if not (self.keys_file or self.allow_anonymous or is_loopback(self.host)):
            raise ValueError(
                f"--host {self.host!r} can be reached by others and there are no keys: "
                "name a file of keys with --keys-file, or say --allow-anonymous"
            )
        check_origins(self.cors_origins, keys=self.keys_file is not None)
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(
                f"--max-held-bytes {self.max_held_bytes:d} is less than --max-body-bytes {self.max_body_bytes:d}, so "
                "the largest body would always be refused; raise the one or lower the other"
            )
        if self.first_stage_keep is not None and self.first_stage is None:
            raise ValueError(
                f"--first-stage-keep {self.first_stage_keep} is of a first stage; name one with --first-stage, or "
                "leave it out"
            )
        if self.chunk_overlap >= self.chunk_tokens:
            raise ValueError(
                f"--chunk-overlap {self.chunk_overlap} must be less than --chunk-tokens {self.chunk_tokens}, or no "
                "window would go on; lower the one or raise the other"
            )
        if (
            self.default_reasoning_tokens > self.max_reasoning_tokens
            and "default_reasoning_tokens" in self.model_fields_set
        ):
            raise ValueError(
                f"--default-reasoning-tokens {self.default_reasoning_tokens} exceeds "
                f"--max-reasoning-tokens {self.max_reasoning_tokens}; lower the one or raise the other"
            )
        if (self.default_reasoning_budget or 0) > self.max_reasoning_budget:
            raise ValueError(
                f"--default-reasoning-budget {self.default_reasoning_budget} exceeds --max-reasoning-budget "
                f"{self.max_reasoning_budget}; lower the one or raise the other"
            )
        return self

    @property
    def pages(self) -> bool:
        """Whether the pages for browsers are served."""
        return is_loopback(self.host) if self.playground is None else self.playground == "on"

    @property
    def reasoning_tokens(self) -> int:
        """The trace budget of a call that names none."""
        return min(self.default_reasoning_tokens, self.max_reasoning_tokens)


def from_command_line(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings of `limrank-serve`; see `read_program`."""
    return base.read_program(Settings, PROGRAM, argv, environ)
