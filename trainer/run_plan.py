"""What a run will take, before it begins: tokens, steps, memory and hours."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.settings import Training
from trainer.training_loop import world

_GIB = 1024**3
_ADAM_BYTES = 16  # of a trained parameter: weight, gradient and two moments, in float32


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
    tokens_per_second: float | None

    @property
    def hours(self) -> float | None:
        """None where the speed was not measured."""
        return None if not self.tokens_per_second else self.tokens / self.tokens_per_second / world() / 3600


def make_plan(
    lengths: Sequence[int],
    settings: Training,
    *,
    parameters: int,
    trained: int,
    activation_bytes: int,
    shards: int = 1,
    speed: Callable[[], float] | None = None,
) -> Plan:
    """A plan for the examples of `lengths` (in tokens, in the order they are trained). `activation_bytes`: of one
    token; `shards`: over so many devices the weights are spread; `speed` measures tokens per second."""
    steps = -(-len(lengths) // settings.batch)
    steps = min(steps, settings.max_steps or steps)
    used = lengths[: steps * settings.batch]
    most = max(sum(used[at : at + settings.device_batch]) for at in range(0, len(used), settings.device_batch))
    memory = (parameters - trained) * 4 // shards + trained * _ADAM_BYTES // shards + most * activation_bytes
    measured = speed() if speed else None
    return Plan(len(used), sum(used), max(used), steps, parameters, trained, memory, measured)


def measure(step: Callable[[], int], seconds: float = 5.0) -> float:
    """Tokens per second of `step`, which does one step and returns its tokens; the first is a warm-up."""
    step()
    begun, tokens = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        tokens += step()
    return tokens / (time.perf_counter() - begun)


def say_plan(plan: Plan) -> None:
    """Print the plan."""
    lines = [
        f"examples          {plan.examples:,}",
        f"tokens            {plan.tokens:,} (longest example {plan.longest:,})",
        f"steps             {plan.steps:,}",
        f"parameters        {plan.parameters:,}, of which trained {plan.trained:,}",
        f"memory            about {plan.memory_bytes / _GIB:.1f} GiB a device: weights, optimizer, activations",
        f"hours             {_hours(plan)}",
    ]
    print("\n".join(lines))  # noqa: T201


def _hours(plan: Plan) -> str:
    if plan.hours is None:
        return "not measured"
    return f"about {plan.hours:.2f} at {plan.tokens_per_second:,.0f} tokens/s, measured on this machine just now"
