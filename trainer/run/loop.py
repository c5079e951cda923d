"""What both trainers hand to the library's loop: its arguments, and callbacks for legs, checkpoints and the log."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import distributed
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.errors import BadSettings, Diverged
from trainer.run.folder import RunFolder, mark_complete
from trainer.settings import Training


def world() -> int:
    """How many processes train together (torchrun says so)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def take_threads() -> None:
    """Compute with the threads of all processes of this machine that train together, as those beside this one have
    nothing to do any more (a launcher gives each its share). On a GPU threads do not matter."""
    if not torch.cuda.is_available():
        torch.set_num_threads(torch.get_num_threads() * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def arguments(settings: Training, folder: RunFolder) -> dict[str, Any]:
    """Keyword arguments of transformers' TrainingArguments. The order of examples is ours, so one pass is all."""
    accumulate, rest = divmod(settings.batch, settings.device_batch * world())
    if rest or not accumulate:
        raise BadSettings(
            f"A batch of {settings.batch} does not divide into {world()} processes of {settings.device_batch} "
            "examples; change --batch or --device-batch."
        )
    return {
        "output_dir": str(folder.checkpoints),
        "seed": settings.seed,
        "num_train_epochs": 1,
        "max_steps": settings.max_steps or -1,
        "per_device_train_batch_size": settings.device_batch,
        "gradient_accumulation_steps": accumulate,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": 1.0,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": settings.precision == "bfloat16",
        "gradient_checkpointing": settings.gradient_checkpointing,
        "logging_steps": settings.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would show such a loss as 0
        "save_strategy": "steps" if settings.checkpoint_steps else "no",
        "save_steps": settings.checkpoint_steps or 1,
        "save_total_limit": 2,
        "report_to": ["tensorboard"],  # beside the checkpoints, in runs/
        "dataloader_drop_last": False,
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
    }


def in_any_process(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Which of `flags` are set in at least one of the processes that train together. Returns when all of them have
    asked. `device` is what this process trains on: NCCL takes no other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return list(flags)
    common = torch.tensor(flags, dtype=torch.uint8, device=device)
    distributed.all_reduce(common, distributed.ReduceOp.MAX)
    return [bool(flag) for flag in common.tolist()]


def _finite(model: Any) -> bool:
    """Whether all trained weights, or this process's part of them, are numbers."""
    trained = (one.detach() for one in model.parameters() if one.requires_grad)
    return all(bool(torch.isfinite(one.to_local() if isinstance(one, DTensor) else one).all()) for one in trained)


class Leg(TrainerCallback):
    """Ends a leg in time or on SIGTERM and SIGINT, with a checkpoint; makes checkpoints as the clock says; keeps the
    log. `ended` says why the loop came back: `finished`, `time` or `signal`.

    Processes that train together stop and save at the same step, when one of them has cause to: each has a clock and
    signals of its own, and one that went on alone would wait for the others for ever.
    """

    def __init__(self, folder: RunFolder, settings: Training) -> None:
        self.ended = "finished"
        self._folder = folder
        self._settings = settings
        self._begun = self._saved = time.monotonic()
        self._stop = False
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self._folder.clear_half_written()
        # A checkpoint brings its own steps between logs and checkpoints, which may not be those of this leg.
        state.compute_steps(args, state.max_steps)  # type: ignore[no-untyped-call]
        self._begun = self._saved = time.monotonic()
        self._handlers = {number: signal.signal(number, self._told) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self._check_weights(model, args, state)
        self.give_signals_back()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        over = now - self._begun > self._settings.leg_minutes * 60
        due = now - self._saved > self._settings.checkpoint_minutes * 60
        told, over, due = in_any_process([self._stop, over, due], args.device)
        if (over or told) and state.global_step < state.max_steps:
            self.ended = "signal" if told else "time"
            control.should_training_stop = control.should_save = True
        elif due:
            control.should_save = True
        if control.should_save:
            self._saved = now

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self._check_weights(model, args, state)  # waits for all: each has written its random state
        if state.is_world_process_zero:
            mark_complete(self._folder.checkpoints / f"checkpoint-{state.global_step}")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if logs and not math.isfinite(float(logs.get("loss", 0.0))):
            self._diverged("loss", state)
        if state.is_world_process_zero and logs and "loss" in logs:
            line: dict[str, Any] = {"step": state.global_step, "steps": state.max_steps, "loss": float(logs["loss"])}
            line |= {"learning_rate": logs.get("learning_rate"), "grad_norm": logs.get("grad_norm")}
            line |= {"leg_seconds": round(time.monotonic() - self._begun, 1)}
            self._folder.append(self._folder.log, line)

    def _check_weights(self, model: Any, args: TrainingArguments, state: TrainerState) -> None:
        """Raise Diverged in all processes where one has a trained weight that is no number."""
        (spoilt,) = in_any_process([not _finite(model)], args.device)
        if spoilt:
            self._diverged("weights", state)

    def _diverged(self, what: str, state: TrainerState) -> NoReturn:
        raise Diverged(
            f"The {what} of the training became NaN or infinite by step {state.global_step}, and nothing of that is "
            "kept; go on from the last checkpoint with --precision float32, or begin in another --folder with a lower "
            "--learning-rate."
        )

    def give_signals_back(self) -> None:
        """To whoever had them before the loop began; to be called also where the loop ends in an exception."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _told(self, number: int, frame: FrameType | None) -> None:
        self._stop = True
