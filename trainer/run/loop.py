"""The arguments of the library's training loop, and the processes that train together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import torch

from trainer.run.batching import Batching
from trainer.run.folder import RunFolder
from trainer.settings import Training


@dataclass(frozen=True, slots=True)
class Optimiser:
    """The parameters of AdamW. `schedule` follows the warm-up, which takes the share `warmup` of the steps; `precision`
    is that of the arithmetic, because the weights are always float32."""

    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    precision: str
    gradient_checkpointing: bool

    @classmethod
    def of(cls, settings: Training) -> Self:
        return cls(
            settings.learning_rate,
            settings.schedule,
            settings.warmup,
            settings.weight_decay,
            settings.precision,
            settings.gradient_checkpointing,
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """When a session ends, saves a checkpoint and writes a log line. `checkpoint_steps` None: by the clock alone."""

    session_minutes: float
    checkpoint_minutes: float
    checkpoint_steps: int | None
    log_steps: int

    @classmethod
    def of(cls, settings: Training) -> Self:
        return cls(settings.leg_minutes, settings.checkpoint_minutes, settings.checkpoint_steps, settings.log_steps)


def take_threads() -> None:
    """Lets this process use the CPU threads of all processes on this machine that trained together.

    A launcher gives each process its share; the others are idle after training. Threads do not matter on a GPU.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(torch.get_num_threads() * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def arguments(
    folder: RunFolder,
    optimiser: Optimiser,
    batching: Batching,
    timing: Timing,
    *,
    seed: int,
    max_steps: int | None,
) -> dict[str, Any]:
    """Keyword arguments of transformers' TrainingArguments. The loop makes one pass, because `trainer.run.order`
    concatenates all passes over the data. Raises BadSettings for an indivisible batch."""
    return {
        "output_dir": str(folder.checkpoints),
        "seed": seed,
        "num_train_epochs": 1,
        "max_steps": max_steps or -1,
        "per_device_train_batch_size": batching.device_batch,
        "gradient_accumulation_steps": batching.accumulated(),
        "learning_rate": optimiser.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if optimiser.schedule == "constant" else optimiser.schedule,
        "warmup_steps": optimiser.warmup,
        "weight_decay": optimiser.weight_decay,
        "max_grad_norm": 1.0,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": optimiser.precision == "bfloat16",
        "gradient_checkpointing": optimiser.gradient_checkpointing,
        "logging_steps": timing.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # the filter would log such a loss as 0
        "save_strategy": "steps" if timing.checkpoint_steps else "no",
        "save_steps": timing.checkpoint_steps or 1,
        "save_total_limit": 2,
        "report_to": ["tensorboard"],  # beside the checkpoints, in runs/
        "dataloader_drop_last": False,
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
    }
