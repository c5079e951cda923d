"""The settings of the service, section by section: the flag `--max-documents`, the environment name
`LIMRANK_MAX_DOCUMENTS` and the help text all come from the field. A class is a section of the help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ByteSize, Field
from pydantic_settings import SettingsConfigDict

from cli import settings as base
from cli.choices import Dtype, EngineName
from cli.values import Arguments, Count, Duration, Names, Port, Seconds
from service.ranking import LongDocuments, Mode

PREFIX = "LIMRANK_"


class _Section(base.Settings):
    # Lists and objects are written in ways of their own (`cli.values`), not as JSON.
    model_config = SettingsConfigDict(env_prefix=PREFIX, enable_decoding=False)


class Listening(_Section):
    """where the server listens"""

    host: str = Field(default="127.0.0.1", description="address to listen on; other than loopback it needs --keys-file")
    port: Port = Field(default=8080, description="port to listen on; 0 takes a free one")
    root_path: str = Field(
        default="",
        pattern=r"^(/[^/?#]+)*$",
        description="path under which a proxy serves the service, such as /models/rerank",
    )
    metrics_port: Port | None = Field(
        default=None, description="port of its own for /metrics, which then leaves --port"
    )
    playground: Literal["on", "off"] | None = Field(
        default=None,
        description="pages for browsers at / and /docs; default: on where only this machine can reach them, else off",
    )


class Model(_Section):
    """the model and its engine"""

    engine: EngineName = Field(
        default="auto", description="what runs the model; auto takes vllm where a GPU is visible"
    )
    model: str | None = Field(
        default=None, min_length=1, description="a hub id, a folder, or an embedded model; default: embedded"
    )
    model_revision: str | None = Field(default=None, description="commit, branch or tag of a model from a hub")
    format: str | None = Field(
        default=None,
        min_length=1,
        description="prompt of a causal model, or of a classifier made of one, without a manifest: a known name, or "
        "a YAML file; see docs/formats.md",
    )
    calibration: Names = Field(
        default=(),
        description="calibration.json of limrank-eval, by commas one for each mode: its temperature divides log-odds",
    )
    strict_model: bool = Field(
        default=False, description="refuse to start a model that ranks the two passages of the start check wrongly"
    )
    served_name: str | None = Field(
        default=None, min_length=1, description="name shown to clients; default: the model's own"
    )
    model_aliases: Names = Field(
        default=("*",), description="further names a request may give, by commas; * allows any"
    )
    cache_dir: Path | None = Field(default=None, description="folder for prepared weights; default: ~/.cache/limrank")
    dtype: Dtype = Field(default="auto", description="number format of the weights")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description="what the engines cross-encoder and transformers compute on; auto: a visible GPU for "
        "cross-encoders, the CPU for transformers",
    )
    threads: Count | None = Field(default=None, description="CPU threads of the model; default: one per core")
    query_prompt: str | None = Field(
        default=None,
        description="text before every query of a cross-encoder, such as 'query: '; default: what its files state",
    )
    passage_prompt: str | None = Field(
        default=None,
        description="text before every passage of a cross-encoder, such as 'document: '; default: what its files state",
    )


class FirstStage(_Section):
    """a cheaper model in front of the served one"""

    first_stage: str | None = Field(
        default=None,
        min_length=1,
        description="a model, named as with --model, that scores all documents; the served one scores the best of them",
    )
    first_stage_keep: int | None = Field(
        default=None,
        ge=0,
        description="documents that the served model then scores; default: as was fitted for both models, else twice "
        "top_n, at least 20",
    )
    first_stage_weight: float = Field(
        default=0.5, ge=0, le=1, description="share of a caller's first_stage_scores or ranks in the result"
    )


class Vllm(_Section):
    """the vLLM engine"""

    tensor_parallel_size: Count = Field(default=1, description="GPUs that share one copy of the model")
    data_parallel_size: Count = Field(default=1, description="copies of the model")
    quantization: str | None = Field(
        default=None, min_length=1, description="quantise the weights, such as fp8; scores move: measure them first"
    )
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="share of a GPU's memory for weights and cache"
    )
    max_model_len: int | None = Field(
        default=None, ge=64, description="longest prompt with its trace, in tokens; default: the model's own"
    )
    max_num_batched_tokens: Count = Field(
        default=8192, description="most tokens of one step: more is faster, fewer answers small calls sooner"
    )
    max_num_seqs: Count = Field(default=256, description="most documents in one copy of the model at a time")
    stuck_after: Seconds = Field(
        default=60, description="exit when the engine has work and computes nothing for so many seconds"
    )
    vllm_args: Arguments | None = Field(
        default=None, description="vLLM's further engine arguments, as a JSON object: its names, with underscores"
    )


class Scoring(_Section):
    """how calls are scored when they do not say"""

    mode: Mode = Field(
        default=Mode.DIRECT,
        description="how a verdict is reached: direct; after reasoning, which is slow; adaptive: reason where it pays",
    )
    default_reasoning_tokens: int = Field(default=256, ge=0, description="trace budget per document")
    max_reasoning_tokens: int = Field(default=1024, ge=0, description="largest trace budget a call may ask for")
    default_reasoning_budget: int | None = Field(
        default=None,
        ge=0,
        description="adaptive mode: reasoning tokens of a whole call that names none; default: 10 median traces",
    )
    max_reasoning_budget: int = Field(
        default=100_000, ge=0, description="adaptive mode: most reasoning tokens that a call may ask for"
    )
    max_tokens_per_doc: Count | None = Field(
        default=None, description="cut passages to so many tokens; default: the model's limit"
    )
    long_documents: LongDocuments = Field(
        default=LongDocuments.TRUNCATE,
        description="how documents are read when a call does not say: truncate, or in windows: chunk",
    )
    chunk_tokens: Annotated[int, Field(ge=16)] = Field(
        default=256, description="most tokens of a window of a document that is read in windows"
    )
    chunk_overlap: int = Field(
        default=0, ge=0, description="most tokens at the end of a window that are read in the next one again"
    )
    min_passage_share: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="refuse calls whose query and instruction leave a passage less than this share of the model's room",
    )


class Limits(_Section):
    """limits"""

    max_documents: Count = Field(default=10_000, description="most documents of one call")
    max_batch_requests: Count = Field(
        default=1000, description="most requests of one batch, and most questions of one decision"
    )
    max_body_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        default=ByteSize(16 * 1024 * 1024), description="largest request body, in bytes or as 16MiB"
    )
    body_timeout_seconds: Seconds = Field(default=60, description="longest time a request body may take to arrive")
    max_held_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        default=ByteSize(256 * 1024 * 1024),
        description="most bytes of request bodies held at a time, over all calls that are not answered yet",
    )
    max_connections: Count | None = Field(
        default=None,
        description="most connections at a time; default: by the limit of open files, with a reserve for probes",
    )
    max_queued_documents: Count = Field(
        default=20_000, description="most documents that wait for the engine, over all calls"
    )
    max_queued_tokens: Count = Field(
        default=20_000_000, description="most tokens that wait for the engine, over all calls"
    )
    window: Count | None = Field(
        default=None, description="most documents in the engine at a time; default: the engine's"
    )
    score_cache_bytes: Annotated[ByteSize, Field(ge=0)] = Field(
        default=ByteSize(0), description="memory for scores that are not computed again, such as 64MiB; 0: none"
    )
    request_timeout_seconds: Seconds = Field(
        default=300, description="longest deadline; X-Request-Timeout-Ms may shorten it"
    )


class Stopping(_Section):
    """stopping, in seconds"""

    drain_delay: Duration = Field(default=5, description="after SIGTERM, keep accepting so long while balancers notice")
    drain_budget: Duration = Field(default=30, description="then let running calls finish for so long")


class Access(_Section):
    """who may call"""

    keys_file: Path | None = Field(default=None, description="TOML file of keys, read again whenever it changes")
    allow_anonymous: bool = Field(default=False, description="serve without keys on an address that others can reach")
    cors_origins: Names = Field(
        default=(),
        description="origins whose pages may call, by commas, such as https://app.example.com; * for all, where there "
        "are no keys",
    )
    documents_per_minute: Count | None = Field(
        default=None, description="limit of a key that sets none and, without keys, of all callers together"
    )


class Observing(_Section):
    """logs and traces"""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe level logged"
    )
    log_texts: bool = Field(
        default=False, description="let queries and passages into the log: never where they are private"
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+",
        description="OTLP/HTTP collector for spans, such as http://collector:4318",
    )
    trace_sample_ratio: float = Field(
        default=1.0, ge=0, le=1, description="share of requests traced when the caller's traceparent does not decide"
    )
