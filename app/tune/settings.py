"""The settings of `limrank tune`. Objects of this class stop at the command."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from cli import settings as base
from cli.environment import Program
from llm.endpoint import Endpoint

PROGRAM = Program("limrank", "LIMRANK_TUNE_")
UNKNOWN = "unknown"


class Tune(base.Command):
    """Make a reranker for your own documents, and say whether it helps. The same command goes on after a stop."""

    model_config = SettingsConfigDict(env_prefix=PROGRAM.prefix, cli_avoid_json=True, cli_prog_name="limrank tune")

    documents: CliPositionalArg[Path] = Field(
        description="folder of Markdown, text, HTML or PDF files, or a JSONL corpus (_id, title, text)"
    )
    out: Path = Field(description="folder of the result: model/, report.html, and work/ with what lies between")
    queries: Path | None = Field(
        default=None,
        description="your own queries: lines, or JSONL of query and, where judged, relevant (ids of documents)",
    )
    licence: str = Field(
        default=UNKNOWN, min_length=1, description="licence of the documents (SPDX), for the model's card"
    )
    base: Path = Field(
        default=Path("limrank-mini-ce"),
        description="the cross-encoder to begin from: a folder, a hub id, or a model that comes with limrank",
    )
    bi_encoder: str = Field(
        default="",
        description="sentence-transformers model that finds candidates and teaches; default: all-MiniLM-L6-v2",
    )
    groups: int = Field(default=700, ge=20, description="most queries to train on, each with six passages")
    test_queries: int = Field(default=150, ge=5, description="most queries to measure on, from documents held out")
    passages: int = Field(default=6_000, ge=50, description="most passages to work with, of documents drawn at random")
    epochs: float | None = Field(default=None, gt=0, description="passes over the groups; default: by their number")
    learning_rate: float = Field(default=2e-5, gt=0, description="highest learning rate")
    max_tokens: int = Field(default=256, ge=32, description="tokens of a query and a passage together in training")
    seed: int = Field(default=7, ge=0, description="seed of the training")

    llm: str | None = Field(
        default=None,
        description="OpenAI-compatible endpoint, up to and with /v1, that writes queries and grades passages",
    )
    llm_model: str = Field(default="", description="model to ask there")
    llm_key_variable: str | None = Field(
        default=None,
        description="environment variable with the endpoint's key; default: OPENAI_API_KEY where it is set",
    )
    llm_queries: int = Field(default=300, ge=10, description="passages that get a query; a fifth of them are held out")
    llm_candidates: int = Field(default=5, ge=2, description="passages graded for each query, from each first stage")
    llm_concurrency: int = Field(default=16, ge=1, description="requests on their way at a time")
    llm_price_prompt: float | None = Field(default=None, ge=0, description="price of a million prompt tokens; 0: free")
    llm_price_completion: float | None = Field(default=None, ge=0, description="price of a million reply tokens")
    llm_max_tokens: int = Field(default=2048, ge=16, description="longest reply in tokens, reasoning included")
    budget: float | None = Field(default=None, gt=0, description="most money to spend, in the currency of the prices")

    reasoning: bool = Field(
        default=False, description="train the causal model too, with traces (--llm); without a GPU: say what it takes"
    )
    reasoning_base: Path = Field(
        default=Path("limrank-mini"), description="the causal model to begin from, as --base names it"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.llm is None and (self.llm_model or self.budget is not None):
            raise ValueError("--llm-model and --budget are about an endpoint; name it with --llm")
        if self.llm is not None and not self.llm_model:
            raise ValueError("--llm needs --llm-model: the name of the model to ask there")
        if self.reasoning and self.llm is None:
            raise ValueError("--reasoning needs --llm: its traces are what a language model writes")
        if self.llm is not None and self.llm_price_prompt is None and not _own(self.llm):
            raise ValueError(
                f"the price of {self.llm} is not known; say --llm-price-prompt and --llm-price-completion, for a "
                "million tokens, or 0 where it is free"
            )
        if self.budget is not None and not self.endpoint().priced:
            raise ValueError("--budget needs prices: --llm-price-prompt and --llm-price-completion")
        return self

    def endpoint(self) -> Endpoint:
        """The endpoint that writes and grades."""
        variable = self.llm_key_variable
        if variable is None:
            variable = "OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else ""
        return Endpoint(
            base_url=self.llm or "",
            model=self.llm_model,
            key_variable=variable,
            concurrency=self.llm_concurrency,
            max_tokens=self.llm_max_tokens,
            price_prompt=self.llm_price_prompt or 0.0,
            price_completion=self.llm_price_completion or 0.0,
        )


def _own(url: str) -> bool:
    """Whether an address is of this machine or a private network, where nobody asks for money."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host
