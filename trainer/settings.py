"""The settings of `limrank-train`.

`--learning-rate`, `LIMRANK_TRAIN_LEARNING_RATE` and `learning_rate:` in a config are one setting. Objects of these
classes stop at the entry point of a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from cli import settings as base
from cli.choices import Dtype
from cli.environment import Program
from cli.moved import moved
from trainer.errors import BadSettings

UNKNOWN = "unknown"  # the licence of data or a base that states none; nothing under it is packaged
CONFIGS = Path(__file__).parent / "configs"


def config_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the config that a flag or the environment named, given by name or as a YAML file. Raises
    `BadSettings`."""
    name = given.get("config")
    if not name:
        return {}
    path = CONFIGS / f"{name}.yaml"
    path = path if path.is_file() else Path(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if sentence := moved("limrank-train", ["--config", str(name)]):
            raise BadSettings(sentence) from None
        shipped = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
        raise BadSettings(f"There is no config {name!r}: name one of {shipped}, or a YAML file.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSettings(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise BadSettings(f"{path} must hold lines of 'setting: value'.")
    return {str(key): value for key, value in values.items()}


PROGRAM = Program("limrank-train", "LIMRANK_TRAIN_", foreign=("LIMRANK_TRAIN_EVAL_",), file=config_file)


class Command(base.Command):
    """Base of every command's settings."""

    model_config = SettingsConfigDict(env_prefix=PROGRAM.prefix, cli_avoid_json=True)


class DevScoring(Command):
    """The queries and candidates of a dev score."""

    dev: Path | None = Field(default=None, description="BEIR folder whose dev split scores the model after each leg")
    dev_split: str = Field(default="dev", description="split of --dev")
    dev_candidates: Path | None = Field(default=None, description="TREC run of the dev queries to rerank")
    dev_queries: int = Field(default=100, ge=1, description="number of queries, drawn by the hash of their ids")
    dev_depth: int = Field(default=30, ge=1, description="candidates of each query")


class Choosing(Command):
    """Which examples of a training file are used."""

    data: Path = Field(description="training file, as limrank-synth writes it")
    sample: int | None = Field(default=None, ge=1, description="number of examples, drawn by the seed; default: all")
    exclude: Path | None = Field(default=None, description="file of ids; examples whose id holds one are left out")
    leave_out: str | None = Field(default=None, description="leave out examples of this domain, source or id prefix")
    seed: int = Field(default=7, ge=0, description="seed of samples, order, dropout and new weights")


class Training(DevScoring, Choosing):
    """Settings of every kind of training. `folder` is the run's: checkpoints, log, plot and result."""

    config: str | None = Field(default=None, description="a config of trainer/configs by name, or a YAML file")
    base: Path = Field(
        description="the base model: a folder, a hub id, or a model that comes with limrank, by its name"
    )
    folder: Path = Field(description="folder of the run, outside the repository; created or resumed")
    learning_rate: float = Field(gt=0, description="highest learning rate")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="learning rate after the warm-up"
    )
    warmup: float = Field(default=0.03, ge=0, lt=1, description="share of the steps with a rising learning rate")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay of AdamW")
    epochs: float = Field(default=1.0, gt=0, description="passes over the data")
    max_steps: int | None = Field(default=None, ge=1, description="end the whole run after this many steps instead")
    batch: int = Field(ge=1, description="examples in a step, over all devices")
    device_batch: int = Field(ge=1, description="examples that a device computes at a time")
    max_tokens: int = Field(ge=16, description="longest sequence; longer passages are truncated")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="number format of the arithmetic; auto: bfloat16 if the GPU or CPU supports it"
    )
    gradient_checkpointing: bool = Field(default=False, description="compute activations twice to save memory")
    leg: int | None = Field(default=None, ge=1, description="number of this session: 1 starts the run")
    leg_minutes: float = Field(default=120.0, gt=0, description="stop after this time, with a checkpoint")
    checkpoint_minutes: float = Field(
        default=10.0, gt=0, description="interval of checkpoints: the most that a kill loses"
    )
    checkpoint_steps: int | None = Field(default=None, ge=1, description="also save a checkpoint every n steps")
    log_steps: int = Field(default=10, ge=1, description="steps between two lines of the log")
    base_name: str | None = Field(default=None, description="name of the base in the manifest; default: its folder's")
    base_licence: str = Field(default=UNKNOWN, description="SPDX id of the base's licence, for the manifest")
    dry_run: bool = Field(default=False, description="print tokens, steps, memory and hours; train nothing")
    measure_seconds: float = Field(default=5.0, gt=0, description="how long a dry run measures the speed")


class Sft(Training):
    """`limrank-train sft`: LoRA on a causal model, loss on the completion only."""

    learning_rate: float = Field(default=6e-5, gt=0, description="highest learning rate")
    batch: int = Field(default=32, ge=1, description="examples in a step, over all devices")
    device_batch: int = Field(default=4, ge=1, description="examples that a device computes at a time")
    max_tokens: int = Field(default=2048, ge=16, description="longest sequence; longer passages are truncated")
    format: Literal["pointwise", "setwise", "listwise"] = Field(
        default="pointwise",
        description="what the data holds, as limrank-synth export writes it: records, or rows of several passages",
    )
    adapter: Path | None = Field(default=None, description="folder of an adapter to train further")
    kept: float = Field(
        default=1.0, gt=0, le=1, description="interpolation between --adapter (0) and the trained weights (1)"
    )
    rank: int = Field(default=32, ge=1, description="rank of the LoRA matrices")
    alpha: int = Field(default=64, ge=1, description="LoRA's scale is alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the adapter's input")
    direct_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the records trained without their trace, for direct mode"
    )
    verdict_weight: float = Field(
        default=1.0, gt=0, description="weight of the verdict in an example's loss; a token of the trace has 1"
    )
    conclusion_weight: float = Field(default=1.0, gt=0, description="weight of a token in the trace's last sentence")
    trace_weight: float = Field(
        default=1.0, gt=0, description="weight of an example with a trace, shared by its tokens; one without has 1"
    )
    passage_tokens: int | None = Field(default=None, ge=1, description="longest passage; default: what fits")
    fsdp: bool = Field(default=False, description="shard the weights over the GPUs (torchrun)")
    base_weights: Literal["float32", "bfloat16", "4bit"] = Field(
        default="float32",
        description="number format of the base, which is not trained; 4bit: NF4 by bitsandbytes (QLoRA), an extra",
    )
    dev_modes: list[Literal["direct", "reasoning"]] = Field(
        default=["direct"],
        min_length=1,
        description="modes of the dev score, which is their mean: direct, reasoning",
    )
    dev_trace_tokens: int = Field(default=128, ge=1, description="longest trace for a dev score in reasoning mode")

    @model_validator(mode="after")
    def _can_interpolate(self) -> Self:
        if self.kept < 1 and (self.adapter is None or self.fsdp):
            raise ValueError("--kept below 1 needs --adapter, where the way begins, and cannot be had with --fsdp")
        return self

    @model_validator(mode="after")
    def _base_is_whole(self) -> Self:
        if self.fsdp and self.base_weights != "float32":
            raise ValueError(f"--fsdp shards float32 weights; with --base-weights {self.base_weights} leave it out")
        return self

    @model_validator(mode="after")
    def _fits_the_format(self) -> Self:
        if self.format != "pointwise" and (self.dev is not None or self.adapter is not None):
            flag = "--dev" if self.dev is not None else "--adapter"
            raise ValueError(
                f"{flag} is for --format pointwise; limrank eval measures a {self.format} model (--list-model)"
            )
        return self


class CrossEncoding(Training):
    """`limrank-train cross-encoder`: an encoder with one output, by LCE on groups."""

    model_config = SettingsConfigDict(cli_shortcuts={"data": "groups"})

    data: Path = Field(
        description="groups, as limrank-synth exports them, or plain lines of query, pos, neg and their scores"
    )
    learning_rate: float = Field(default=5e-5, gt=0, description="highest learning rate")
    batch: int = Field(default=8, ge=1, description="groups in a step, over all devices")
    device_batch: int = Field(default=8, ge=1, description="groups that a device computes at a time")
    max_tokens: int = Field(default=256, ge=16, description="longest sequence; longer passages are truncated")
    negatives: int = Field(
        default=3, ge=1, description="most hard negatives per group, drawn by the seed; a group with fewer keeps all"
    )
    negatives_from: Literal["hard", "random"] = Field(
        default="hard", description="random: other groups' positives instead, for comparison"
    )
    loss: Literal["lce", "bce"] = Field(default="lce", description="bce: binary cross-entropy, for comparison")
    anchor: float = Field(
        default=0.1, ge=0, description="share of cross-entropy added to LCE, so that 0 means even odds"
    )
    teacher_weight: float = Field(
        default=1.0, ge=0, description="weight of the teacher's scores in groups without a positive"
    )
    labelled_teacher_weight: float = Field(
        default=0.3, ge=0, description="weight of the teacher's scores in groups with a positive"
    )
    teacher_loss: Literal["kl", "margin-mse"] = Field(default="kl", description="loss against the teacher's scores")
    teacher_temperature: float = Field(default=0.07, gt=0, description="divides the teacher's scores, giving log-odds")
    average: float = Field(
        default=0.0, ge=0, lt=1, description="decay of a running mean of the weights, which becomes the result; 0: none"
    )
    calibration: int = Field(
        default=300,
        ge=0,
        description="groups held out to fit bias and temperature and to measure the result; 0: neither; where it is "
        "not given, at most a tenth of the groups",
    )
    keep: Literal["best", "last"] = Field(
        default="best", description="weights to keep: those that ranked the held-out groups best, or the last"
    )
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="dropout of the encoder; default: the base's own"
    )
    train_embeddings: bool = Field(default=False, description="also train the word embeddings")
    bi_encoder: Path | None = Field(
        default=None,
        description="mean-pooled BERT bi-encoder with the base's word embeddings that stays in the network, frozen: "
        "its cosines are added to the output",
    )
    similarity_weight: float = Field(
        default=14.0, gt=0, description="what a cosine of --bi-encoder counts, in log-odds"
    )
    base_scale: float = Field(
        default=1.0, gt=0, description="multiplies the output of a base that is a cross-encoder beside --bi-encoder"
    )

    def held_out(self, groups: int) -> int:
        """How many of `groups` with a positive are held out of training."""
        return self.calibration if "calibration" in self.model_fields_set else min(self.calibration, groups // 10)


class OwnTraces(Choosing):
    """`limrank-train own-traces`: records with traces that a model writes itself, to train its verdicts on."""

    model: str = Field(description="the model to serve: folder of a merged model, embedded model or hub id")
    out: Path = Field(description="file of records to write; replaced atomically")
    direct_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the records with a trace that are written without it"
    )
    passage_tokens: int | None = Field(default=None, ge=1, description="longest passage; default: what fits")
    trace_tokens: int = Field(default=128, ge=1, description="longest trace")
    model_licence: str | None = Field(
        default=None,
        description="licence of the model's output, added to each record; default: those in its manifest",
    )
    concurrency: int = Field(default=32, ge=1, description="concurrent requests for traces")
    dtype: Dtype = Field(default="auto", description="number format of the weights")


class Merge(DevScoring):
    """`limrank-train merge`: an adapter into its base, as a folder that vLLM, transformers and limrank-serve load."""

    base: Path = Field(description="the base model, as given to sft")
    adapter: Path = Field(description="folder of the adapter, as written by limrank-train sft")
    out: Path = Field(description="folder to write; replaced atomically")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="bfloat16", description="format of the weights")
    results: list[Path] = Field(default=[], description="result.json files of limrank-eval, for manifest and card")


class Package(Command):
    """`limrank-train package`: the result of a run into the folder of embedded weights, if it is the best so far."""

    folder: Path = Field(description="folder of the run")
    weights: Path = Field(description="folder of embedded weights: service/weights")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="name the model is served under")
    even_if_worse: bool = Field(default=False, description="also replace a model with a better dev score")


class Calibration(Command):
    """`limrank-train calibrate`: fitted temperatures into the manifest of a model or of embedded weights."""

    weights: Path = Field(description="folder with the manifest, such as service/weights/NAME")
    results: list[Path] = Field(
        default=[],
        description="calibration.json files of limrank-eval, one for each mode; none: only write the manifest in the "
        "present version",
    )
