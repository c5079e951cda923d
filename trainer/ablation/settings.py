"""The settings of `limrank-train ablate` and `ablate-sft`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg

from trainer.settings import CrossEncoding, Sft, Training


class Comparison(Training):
    """Settings of every ablation: the same training with one thing changed at a time."""

    out_of_domain: Path | None = Field(default=None, description="BEIR folder of another domain, to measure forgetting")
    data_cost: float | None = Field(
        default=None,
        ge=0,
        description="cost of the whole training file; default: as limrank-synth export stated beside it, else 0",
    )
    hour_cost: float = Field(default=0.0, ge=0, description="cost of an hour of the device")


class Ablation(CrossEncoding, Comparison):
    """`limrank-train ablate KIND`: the cross-encoder's training with one thing changed at a time."""

    kind: CliPositionalArg[Literal["volume", "negatives", "loss", "source", "domain"]] = Field(
        description="what changes: volume, negatives, loss, source, domain"
    )
    volumes: list[int] = Field(default=[1000, 4000, 12000], description="groups of each variant of `volume`")
    names: list[str] = Field(
        default=[], description="names that `source` and `domain` leave out, or id prefixes; default: all in the file"
    )


class SftAblation(Sft, Comparison):
    """`limrank-train ablate-sft KIND`: the causal model's training with one thing changed at a time."""

    kind: CliPositionalArg[Literal["traces", "volume"]] = Field(description="what changes: traces, volume")
    volumes: list[int] = Field(default=[2000, 10000, 20000], description="records of each variant of `volume`")

    @model_validator(mode="after")
    def _compares_records(self) -> Self:
        if self.format != "pointwise":
            raise ValueError("ablate-sft compares trainings on records; leave --format out")
        return self
