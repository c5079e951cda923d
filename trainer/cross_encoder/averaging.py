"""A running mean of the weights during training (Polyak averaging with exponential decay).

The mean changes less from step to step than the weights, and at a constant learning rate it scores better. It is saved
beside each checkpoint, so that a resumed run continues with the same mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

FILE_NAME = "average.safetensors"


class WeightAverage(TrainerCallback):
    """Keeps the mean of the trained weights of `model`; one step has weight `1 - decay`. Early steps have more weight,
    so that the mean forgets the weights from before training."""

    def __init__(self, model: nn.Module, decay: float, resumed: Path | None) -> None:
        """`resumed` is the checkpoint to resume from, None at the start of a run."""
        self._model = model
        self._decay = decay
        self._mean = load_file(resumed / FILE_NAME) if resumed is not None else self._trained()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        decay = min(self._decay, (1 + state.global_step) / (10 + state.global_step))
        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                if weight.requires_grad:
                    self._mean[name].lerp_(weight.detach().to(self._mean[name]), 1 - decay)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            save_file(self._mean, Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / FILE_NAME)

    def put_into_model(self) -> None:
        """Replaces the trained weights by their mean."""
        with torch.no_grad():
            for name, weight in self._model.named_parameters():
                if name in self._mean:
                    weight.copy_(self._mean[name])

    def _trained(self) -> dict[str, Tensor]:
        return {
            name: weight.detach().float().cpu().clone()
            for name, weight in self._model.named_parameters()
            if weight.requires_grad
        }
