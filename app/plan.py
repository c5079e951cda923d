"""`limrank plan --base MODEL --gpu NAMExN`: memory, steps, hours and cost of a training run, from shapes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from app.errors import AppError
from cli import settings as base
from cli.commands import Subcommand
from cli.environment import Program
from cli.errors import BadSettings
from cli.output import table
from contract.files import standing

PROGRAM = Program("limrank", "LIMRANK_PLAN_")
_GIB = 1024**3
_SECONDS = 3600.0
_ADAM_BYTES = 16  # bytes per trained parameter: weight, gradient and two moments, in float32
# Bytes per frozen parameter: of the layers' matrices, and of the rest, which QLoRA leaves in bfloat16. NF4 has half a
# byte, and for each 64 of them a constant that is quantised too (Dettmers et al. 2023: 0.127 bits a parameter).
_FROZEN_BYTES = {"float32": (4.0, 4.0), "bfloat16": (2.0, 2.0), "4bit": (0.516, 2.0)}
_ROOM = 0.92  # usable share of a GPU's memory; the driver and fragmentation take the rest


@dataclass(frozen=True, slots=True)
class Gpu:
    """`memory` in GiB; `teraflops`: dense bfloat16 (float16 where the GPU has none), as the vendor states it."""

    memory: float
    teraflops: float


GPUS: Mapping[str, Gpu] = {
    "t4": Gpu(15, 65),
    "rtx3090": Gpu(24, 71),
    "rtx4090": Gpu(24, 165),
    "l4": Gpu(22.5, 121),
    "a10": Gpu(22.5, 125),
    "l40s": Gpu(45, 362),
    "a100-40": Gpu(40, 312),
    "a100": Gpu(80, 312),
    "h100": Gpu(80, 989),
    "h200": Gpu(141, 989),
    "b200": Gpu(180, 2250),
}


class Plan(base.Command):
    """Estimate what a training run needs on given GPUs, from the model's shapes; no weights are needed."""

    model_config = SettingsConfigDict(env_prefix=PROGRAM.prefix, cli_avoid_json=True, cli_prog_name="limrank plan")

    base: str = Field(description="hub id, folder or config.json of the base model")
    gpu: str = Field(description=f"kind and number of GPUs, such as h100x8; kinds: {', '.join(GPUS)}")
    kind: Literal["auto", "sft", "cross-encoder"] = Field(
        default="auto", description="training; auto: sft for a causal model"
    )
    examples: int = Field(default=20_000, ge=1, description="records, or pairs of query and passage")
    tokens: int = Field(default=1_000, ge=16, description="tokens of a typical example")
    max_tokens: int = Field(default=2_048, ge=16, description="tokens of the longest example")
    epochs: float = Field(default=1.0, gt=0, description="passes over the data")
    batch: int = Field(default=32, ge=1, description="examples in a step, over all GPUs")
    device_batch: int = Field(default=1, ge=1, description="examples that a GPU computes at a time")
    rank: int = Field(default=32, ge=1, description="rank of the LoRA matrices (sft)")
    gradient_checkpointing: bool = Field(default=True, description="compute activations twice to save memory")
    fsdp: bool = Field(default=False, description="shard the weights over the GPUs")
    base_weights: Literal["float32", "bfloat16", "4bit"] = Field(
        default="float32", description="number format of the base (sft)"
    )
    utilisation: float = Field(default=0.3, gt=0, le=1, description="share of the vendor's stated rate that is reached")
    hour_cost: float | None = Field(default=None, ge=0, description="cost of one GPU for an hour")


@dataclass(frozen=True, slots=True)
class Shapes:
    """`parameters` is the total; `computed` are those that every token passes through, `trained` those that are
    trained, `adapted` those of the matrices that LoRA adapts. `kept` is the bytes of activations a step keeps;
    `attention` the FLOPs of one token's attention in a forward pass."""

    parameters: int
    computed: int
    trained: int
    adapted: int
    kept: int
    attention: float


def plan(settings: Plan) -> str:
    """Returns the plan as a table and a verdict. Raises BadSettings for an unknown base or GPU."""
    gpu, count = _gpu(settings.gpu)
    shapes, kind = _shapes(settings)
    shards = count if settings.fsdp else 1
    weights = (_frozen_bytes(settings, shapes, kind) + shapes.trained * _ADAM_BYTES) / shards
    memory, room = (weights + shapes.kept) / _GIB, gpu.memory * _ROOM
    steps = -(-round(settings.examples * settings.epochs) // settings.batch)
    hours = _hours(settings, shapes, gpu, count, lora=kind == "sft")
    rows = [
        ("training", f"{kind} of {settings.base}"),
        ("parameters", f"{shapes.parameters:,}, of which trained {shapes.trained:,}"),
        ("memory", f"about {memory:.1f} GiB a GPU, which has {gpu.memory:g}"),
        ("steps", f"{steps:,} of {settings.batch} examples"),
        ("hours", f"about {hours:.2f}, if {settings.utilisation:.0%} of the {gpu.teraflops:g} TFLOPS is reached"),
    ]
    if settings.hour_cost is not None:
        rows.append(("cost", f"about {hours * count * settings.hour_cost:.2f}"))
    verdict = "It fits." if memory <= room else _too_large(settings, weights / _GIB, room, count, kind)
    return f"{table(rows)}\n{verdict} Reckoned from shapes; a dry run there measures: limrank train {kind} --dry-run"


def _frozen_bytes(settings: Plan, shapes: Shapes, kind: str) -> float:
    """Bytes of the weights that are not trained. Raises BadSettings where only some are frozen but --base-weights is
    given."""
    if kind != "sft":
        if settings.base_weights != "float32":
            raise BadSettings("--base-weights is of sft; a cross-encoder is trained in float32.")
        return (shapes.parameters - shapes.trained) * 4
    matrices, rest = _FROZEN_BYTES[settings.base_weights]
    return shapes.adapted * matrices + (shapes.parameters - shapes.adapted) * rest


def _too_large(settings: Plan, weights: float, room: float, count: int, kind: str) -> str:
    remedies = []
    if kind == "sft" and settings.base_weights != "4bit" and not settings.fsdp:
        fewer = "4bit" if settings.base_weights == "bfloat16" else "bfloat16 or 4bit"
        remedies.append(f"--base-weights {fewer}")
    if not settings.fsdp and count > 1:
        remedies.append("--fsdp")
    if not settings.gradient_checkpointing:
        remedies.append("--gradient-checkpointing")
    if settings.device_batch > 1 and weights < room:
        remedies.append("a smaller --device-batch")
    remedies += ["a smaller base", "larger or more GPUs"]
    return f"It does NOT fit: try {', '.join(remedies[:-1])} or {remedies[-1]}."


def _hours(settings: Plan, shapes: Shapes, gpu: Gpu, count: int, *, lora: bool) -> float:
    """Hours of training. A forward pass takes 2 FLOPs per weight and token. A backward pass takes as many for the
    activations and, in full training, as many again for the weights. Checkpointing adds a forward pass."""
    passes = (2 if lora else 3) + int(settings.gradient_checkpointing)
    tokens = settings.examples * settings.epochs * settings.tokens
    flops = tokens * passes * (2 * shapes.computed + shapes.attention)
    return flops / (gpu.teraflops * 1e12 * settings.utilisation * count) / _SECONDS


def _gpu(text: str) -> tuple[Gpu, int]:
    found = re.fullmatch(rf"(?P<name>{'|'.join(GPUS)})(?:x(?P<count>[1-9]\d*))?", text.lower())
    if found is None:
        raise BadSettings(f"'gpu' is {text!r}; write a kind and a number, such as h100x8. Kinds: {', '.join(GPUS)}.")
    return GPUS[found["name"]], int(found["count"] or 1)


def _shapes(settings: Plan) -> tuple[Shapes, str]:
    """Shapes of a model built without weights, as the trainer would load it, and the kind of training."""
    import torch
    import transformers

    from retrieval.similarity_bert import register
    from trainer.run.plan import kept_bytes

    register()
    config = _config(settings.base)
    causal = any(str(name).endswith("ForCausalLM") for name in config.architectures or ())
    kind = settings.kind if settings.kind != "auto" else "sft" if causal else "cross-encoder"
    loader: Any = transformers.AutoModelForCausalLM
    if kind == "cross-encoder":
        loader, config.num_labels = transformers.AutoModelForSequenceClassification, 1
    try:
        with torch.device("meta"):
            network = loader.from_config(config, trust_remote_code=False)
    except (ValueError, KeyError, AttributeError) as error:
        raise BadSettings(f"'base' is {settings.base!r}: {str(error).splitlines()[0]}") from None
    if kind == "sft":
        network.set_attn_implementation("eager")  # as the trainer does on a GPU
    if settings.gradient_checkpointing:
        network.gradient_checkpointing_enable()
    network.train()
    parameters = sum(weight.numel() for weight in network.parameters())
    # A bi-encoder beside the network is frozen, and computed forwards only: one pass of three.
    frozen = sum(weight.numel() for weight in network.parameters() if not weight.requires_grad)
    embedded = network.get_input_embeddings().weight.numel()
    linears = [module for name, module in network.named_modules() if _is_adapted(name, module, torch.nn.Linear)]
    trained = sum(settings.rank * (linear.in_features + linear.out_features) for linear in linears)
    lengths = [settings.max_tokens] * settings.device_batch
    return (
        Shapes(
            parameters=parameters,
            computed=parameters - embedded - frozen * 2 // 3,
            trained=trained if kind == "sft" else parameters - embedded - frozen,
            adapted=sum(linear.weight.numel() for linear in linears),
            kept=kept_bytes(network, lengths, causal=kind == "sft", bfloat16=True, logits=len(lengths)),
            attention=(2 if kind == "sft" else 16 / 3 if frozen else 4)
            * (settings.tokens * config.hidden_size * config.num_hidden_layers),
        ),
        kind,
    )


def _is_adapted(name: str, module: object, linear: type) -> bool:
    return isinstance(module, linear) and not name.endswith("lm_head")


def _config(name: str) -> Any:
    """Loads the config of a folder, a file or a hub id."""
    import transformers
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    path = standing(name)
    where = name if path is None else str(path.parent if path.name == "config.json" and path.is_file() else path)
    try:
        return transformers.AutoConfig.from_pretrained(where, trust_remote_code=False)
    except (OSError, ValueError, HfHubHTTPError, HTTPError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BaseUnknown(
            f"The config of {name} cannot be had ({reason}); check the id and the network, or name a config.json."
        ) from None


class BaseUnknown(AppError):
    """A base whose shapes cannot be read."""

    exit_code = 2


COMMAND = Subcommand("plan", Plan, plan)
