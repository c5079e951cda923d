"""What a run will take, before it begins: tokens, steps, memory and hours."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from trainer.run.loop import world
from trainer.settings import Training

_GIB = 1024**3
_ADAM_BYTES = 16  # of a trained parameter: weight, gradient and two moments, in float32
_MOMENT_BYTES = 8  # the last two of them, which a measured step has not


@dataclass(frozen=True, slots=True)
class Measured:
    """What steps took here. `peak_bytes`: the most memory that the process (on a CPU) or its tensors (on a GPU) had."""

    tokens_per_second: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`tokens` are those of the whole run without padding. Bytes and parameters are those of one device."""

    examples: int
    tokens: int
    longest: int
    steps: int
    parameters: int
    trained: int
    memory_bytes: int
    measured: Measured | None

    @property
    def hours(self) -> float | None:
        """None where the speed was not measured."""
        if self.measured is None:
            return None
        return self.tokens / self.measured.tokens_per_second / world() / 3600

    @property
    def peak_bytes(self) -> int | None:
        """What the heaviest step needs on this machine, with the optimizer's moments; None where none was measured."""
        return None if self.measured is None else self.measured.peak_bytes + self.trained * _MOMENT_BYTES


def make_plan(
    lengths: Sequence[int],
    settings: Training,
    *,
    parameters: int,
    trained: int,
    step_bytes: Callable[[Sequence[int]], int],
    shards: int = 1,
    steps_here: Callable[[], Measured] | None = None,
) -> Plan:
    """A plan for the examples of `lengths` (in tokens, in the order they are trained). `step_bytes`: what a batch of
    such lengths keeps on one device; `shards`: over so many devices the weights are spread; `steps_here` measures."""
    steps = -(-len(lengths) // settings.batch)
    weights = ((parameters - trained) * 4 + trained * _ADAM_BYTES) // shards
    memory = weights + step_bytes(lengths[heaviest(lengths, settings.device_batch)])
    measured = steps_here() if steps_here else None
    return Plan(len(lengths), sum(lengths), max(lengths), steps, parameters, trained, memory, measured)


def heaviest(lengths: Sequence[int], count: int) -> slice:
    """Of the batches of `count`, front to back, the one with the most tokens."""
    at = max(range(0, len(lengths), count), key=lambda start: sum(lengths[start : start + count]))
    return slice(at, at + count)


def measure(step: Callable[[], int], seconds: float = 5.0) -> Measured:
    """`step` does one step and returns its tokens. A first one warms up, then one at least is measured."""
    step()
    begun, tokens, spent = time.perf_counter(), 0, 0.0
    while not tokens or spent < seconds:
        tokens += step()
        spent = time.perf_counter() - begun
    return Measured(tokens / spent, _peak_bytes())


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say_plan(plan: Plan) -> None:
    """Print the plan."""
    lines = [
        f"examples          {plan.examples:,}",
        f"tokens            {plan.tokens:,} (longest example {plan.longest:,})",
        f"steps             {plan.steps:,}",
        f"parameters        {plan.parameters:,}, of which trained {plan.trained:,}",
        f"memory            {_memory(plan)}",
        f"hours             {_hours(plan)}",
    ]
    print("\n".join(lines))  # noqa: T201


def _memory(plan: Plan) -> str:
    by_rule = f"about {plan.memory_bytes / _GIB:.1f} GiB a device for weights, optimizer and activations"
    return by_rule if plan.peak_bytes is None else f"{by_rule}; {plan.peak_bytes / _GIB:.1f} GiB at most here, measured"


def _hours(plan: Plan) -> str:
    if plan.measured is None or plan.hours is None:
        return "not measured"
    speed = plan.measured.tokens_per_second
    return f"about {plan.hours:.2f} at {speed:,.0f} tokens/s, measured on this machine just now"
