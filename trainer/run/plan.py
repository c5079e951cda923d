"""The cost of a run before it starts: tokens, steps, memory and hours."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from retrieval.similarity_bert import is_frozen
from trainer.run.batching import Batching, world

_GIB = 1024**3
_ADAM_BYTES = 16  # per trained parameter: weight, gradient and two moments, in float32
_MOMENT_BYTES = 8  # the two moments, which a measured step does not have
# Bytes that a layer keeps per token and unit of hidden size, without its MLP: normed input, queries, keys, values,
# attention output, residuals. Counted with autograd hooks for Llama (28 and 26) and BERT (33 and 25).
_FLOAT32, _BFLOAT16 = 30, 26
_LOGIT = 10  # per logit: its value, its log-probability and one gradient


@dataclass(frozen=True, slots=True)
class Measured:
    """The measured speed of steps on this machine. `peak_bytes` is the peak memory of the process, or of its tensors on
    a GPU."""

    tokens_per_second: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`tokens` are those of the whole run, without padding. Bytes and parameters are per device."""

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
        """None unless the speed was measured."""
        if self.measured is None:
            return None
        return self.tokens / self.measured.tokens_per_second / world() / 3600

    @property
    def peak_bytes(self) -> int | None:
        """The memory of the heaviest step on this machine, with the optimizer's moments; None unless measured."""
        return None if self.measured is None else self.measured.peak_bytes + self.trained * _MOMENT_BYTES


def make_plan(
    lengths: Sequence[int],
    batching: Batching,
    *,
    parameters: int,
    trained: int,
    step_bytes: Callable[[Sequence[int]], int],
    frozen_bytes: int | None = None,
    shards: int = 1,
    steps_here: Callable[[], Measured] | None = None,
) -> Plan:
    """A plan for examples of `lengths` (in tokens, in training order). `step_bytes` returns the bytes that a batch of
    given lengths keeps on one device; the weights are sharded over `shards` devices; `steps_here` measures the
    speed. `frozen_bytes`: of the weights that are not trained; None: four each."""
    steps = -(-len(lengths) // batching.batch)
    frozen = (parameters - trained) * 4 if frozen_bytes is None else frozen_bytes
    weights = (frozen + trained * _ADAM_BYTES) // shards
    memory = weights + step_bytes(lengths[heaviest(lengths, batching.device_batch)])
    measured = steps_here() if steps_here else None
    return Plan(len(lengths), sum(lengths), max(lengths), steps, parameters, trained, memory, measured)


def kept_bytes(network: Any, lengths: Sequence[int], *, causal: bool, bfloat16: bool, logits: int = 0) -> int:
    """Bytes that the forward pass keeps for the backward pass, for sequences of `lengths` (in tokens), padded to the
    longest, on one device.

    `network` is a transformers model with float32 weights, with or without LoRA. `causal`: a causal model's plain
    attention always computes its softmax in float32. `bfloat16`: products use autocast, which also needs a copy of the
    weights. `logits` is the number of positions whose logits are computed. With gradient checkpointing every layer
    keeps only its input, and one layer at a time everything. Excludes weights, gradients, and short-lived memory other
    than the logits.
    """
    config = network.config
    tokens, size, layers = max(lengths) * len(lengths), config.hidden_size, config.num_hidden_layers
    number = 2 if bfloat16 else 4
    layer = tokens * (size * (_BFLOAT16 if bfloat16 else _FLOAT32) + _mlp_widths(network) * number)
    if config._attn_implementation == "eager":
        score = 4 if not bfloat16 else 6 if causal else 2
        layer += tokens * max(lengths) * config.num_attention_heads * score
    if bfloat16:
        layer += 2 * sum(linear.weight.numel() for linear in _linears(network)) // layers
    every = tokens * size * 4 * layers + layer if network.is_gradient_checkpointing else layer * layers
    return int(every + logits * config.vocab_size * _LOGIT)


def _mlp_widths(network: Any) -> int:
    """How many numbers an MLP keeps per token: those before and after its activation and, with a gate, the gate's and
    the product; that is twice its width for each widening matrix."""
    config, width = network.config, int(network.config.intermediate_size)
    sizes = config.hidden_size, width
    widening = [linear for linear in _linears(network) if (linear.in_features, linear.out_features) == sizes]
    return 2 * width * len(widening) // int(config.num_hidden_layers)


def _linears(network: Any) -> list[torch.nn.Linear]:
    """Those whose inputs are kept: not those of a bi-encoder beside the network, through which nothing goes back."""
    return [
        module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and not is_frozen(name)
    ]


def heaviest(lengths: Sequence[int], count: int) -> slice:
    """The batch of `count` consecutive examples with the most tokens."""
    at = max(range(0, len(lengths), count), key=lambda start: sum(lengths[start : start + count]))
    return slice(at, at + count)


def measure(step: Callable[[], int], seconds: float = 5.0) -> Measured:
    """Measures `step`, which does one step and returns its tokens. The first step is a warm-up; at least one is
    measured."""
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
    """Prints the plan."""
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
