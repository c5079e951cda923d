"""The service on a GPU with the shape of Qwen2.5-7B and random weights, over HTTP: tokens per second in both modes.

Compares them to the ceiling set by this machine's matrix products, measured in the same run: for a prompt token its
arithmetic, for a generated token the bytes of weights that a step must read. `TRIAL` does the same on a CPU with a
shape of two small layers: it shows that the program runs; its numbers mean nothing.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch

from bench.shapes import QWEN2_5_7B, QWEN2_5_SMALL, write_shape
from bench.vllm.settings import CPU_ENVIRONMENT, CPU_EXTRA
from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, server

_REPEATS = 50
_VOCABULARY = (
    "the of and in to a is was for on with as by from at it river bank water stone history science market theory energy"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What to measure, and on which model. `copied` is the number of bytes moved to measure memory bandwidth."""

    shape: Mapping[str, Any]
    device: str
    dtype: str
    max_model_len: int
    step_tokens: int
    seats: int
    rounds: int
    calls: int
    documents: int
    words: int
    traces: int
    trace_tokens: int
    matrix: int
    copied: int
    extra: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def flags(self, model: Path) -> tuple[str, ...]:
        extra = {"load_format": "dummy", **self.extra}
        return (
            *("--engine", "vllm", "--model", str(model), "--dtype", self.dtype),
            *("--max-model-len", str(self.max_model_len), "--max-num-batched-tokens", str(self.step_tokens)),
            *("--max-num-seqs", str(self.seats), "--vllm-args", json.dumps(extra)),
            *("--max-queued-tokens", "100000000", "--drain-delay", "0"),
        )


GPU = Run(
    QWEN2_5_7B,
    device="cuda",
    dtype="bfloat16",
    max_model_len=4096,
    step_tokens=16384,
    seats=512,
    rounds=5,
    calls=8,
    documents=250,
    words=300,
    traces=512,
    trace_tokens=128,
    matrix=8192,
    copied=2 * 2**30,
)
TRIAL = Run(
    QWEN2_5_SMALL,
    device="cpu",
    dtype="float32",
    max_model_len=1024,
    step_tokens=512,
    seats=16,
    rounds=1,
    calls=2,
    documents=10,
    words=50,
    traces=8,
    trace_tokens=8,
    matrix=256,
    copied=2**20,
    extra=CPU_EXTRA,
    environment=CPU_ENVIRONMENT,
)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Tokens per second that matrix products at the measured speed allow for a model of this shape."""

    shape: Mapping[str, Any]
    flops: float
    bytes_per_second: float

    def prompt_tokens(self, context: int) -> float:
        """For prompts of `context` tokens, of which a token attends to half on average."""
        attention = 4 * self.shape["num_hidden_layers"] * self.shape["hidden_size"] * context / 2
        return float(self.flops / (2 * self._layers() + attention))

    def written_tokens(self, seats: int) -> float:
        """Every step reads all weights once, two bytes each, whatever the number of sequences."""
        weights = self._layers() + self.shape["vocab_size"] * self.shape["hidden_size"]
        return float(seats / max(2 * weights / self.bytes_per_second, 2 * weights * seats / self.flops))

    def _layers(self) -> int:
        """Weights of all layers, without the two embeddings."""
        hidden, inner = self.shape["hidden_size"], self.shape["intermediate_size"]
        keys = hidden // self.shape["num_attention_heads"] * self.shape["num_key_value_heads"]
        return int(self.shape["num_hidden_layers"] * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner))


@dataclass(frozen=True, slots=True)
class Spent:
    """Totals of the calls of a round."""

    seconds: float
    prompts: int
    cached: int
    written: int

    @property
    def computed(self) -> int:
        return self.prompts - self.cached


def main(run: Run = GPU) -> int:
    """Prints the measurements. Always returns 0, because no target holds on every GPU."""
    ceiling = measure_ceiling(run)
    device = "a CPU, as a trial"
    if run.device == "cuda":
        device = torch.cuda.get_device_name()
        torch.cuda.empty_cache()  # the engine's process needs all of it
    print(f"{device}: {ceiling.flops / 1e12:.2f} TFLOP/s, {ceiling.bytes_per_second / 1e12:.3f} TB/s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_bytes(lzma.decompress((ROOT / "tests/data/qwen2_5_tokenizer.json.xz").read_bytes()))
        model = write_shape(folder / "model", dict(run.shape), tokenizer)
        environment = {"HF_HUB_OFFLINE": "1", **run.environment}
        with server("service.main", free_port(), folder, *run.flags(model), **environment) as running:
            _report(running, run, ceiling)
            running.stop(60)
    return 0


def measure_ceiling(run: Run) -> Ceiling:
    """The speed of large products in the model's number format, and of reading memory."""
    dtype = torch.bfloat16 if run.dtype == "bfloat16" else torch.float32
    a = torch.randn(run.matrix, run.matrix, device=run.device, dtype=dtype)
    product = _seconds(lambda: a @ a, run.device)
    block = torch.empty(2 * run.copied, device=run.device, dtype=torch.uint8)
    copy = _seconds(lambda: block[: run.copied].copy_(block[run.copied :]), run.device)
    return Ceiling(run.shape, 2 * run.matrix**3 / product, 2 * run.copied / copy)


def _seconds(work: Callable[[], object], device: str) -> float:
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(5):
        work()
    wait()
    start = time.perf_counter()
    for _ in range(_REPEATS):
        work()
    wait()
    return (time.perf_counter() - start) / _REPEATS


def _report(running: ServerProcess, run: Run, ceiling: Ceiling) -> None:
    rounds = range(-1, run.rounds)  # the first round warms up and is not counted
    direct = [asyncio.run(_direct(running.url, run, seed)) for seed in rounds][1:]
    documents = run.calls * run.documents
    length = round(statistics.median(each.prompts for each in direct) / documents)
    rate, top = statistics.median(each.computed / each.seconds for each in direct), ceiling.prompt_tokens(length)
    print(f"direct, {run.calls} calls of {run.documents} documents, prompts of {length} tokens:")
    print(f"  {rate:9.0f} computed prompt tokens/s = {rate / top:.2f} of the ceiling of {top:.0f}")
    print(f"  {statistics.median(documents / each.seconds for each in direct):9.0f} documents/s")
    reasoned = [asyncio.run(_reasoning(running.url, run, seed)) for seed in rounds][1:]
    rate, top = statistics.median(each.written / each.seconds for each in reasoned), ceiling.written_tokens(run.seats)
    mean = statistics.median(each.written / run.traces for each in reasoned)
    print(f"reasoning, {run.traces} documents at a time, traces of {mean:.0f} tokens on average:")
    print("  (the time of prompts and verdicts counted)")
    print(f"  {rate:9.0f} written tokens/s = {rate / top:.2f} of the ceiling of {top:.0f}")


async def _direct(url: str, run: Run, seed: int) -> Spent:
    bodies = [_body(run.documents, run.words, f"{seed} {call}") | {"mode": "direct"} for call in range(run.calls)]
    return await _calls(url, bodies)


async def _reasoning(url: str, run: Run, seed: int) -> Spent:
    body = _body(run.traces, run.words, f"{seed} reasoning")
    return await _calls(url, [body | {"mode": "reasoning", "max_reasoning_tokens": run.trace_tokens}])


async def _calls(url: str, bodies: list[dict[str, Any]]) -> Spent:
    start = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=900) as client:
        answers = await asyncio.gather(*(client.post("/rerank", json=body) for body in bodies))
    seconds = time.perf_counter() - start
    usages = [answer.raise_for_status().json()["usage"] for answer in answers]
    prompts, cached, written = (
        sum(usage[name] for usage in usages) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
    )
    return Spent(seconds, prompts, cached, written)


def _body(count: int, words: int, seed: str) -> dict[str, Any]:
    choose = random.Random(seed).choices
    return {
        "query": f"query {seed}",
        "documents": [" ".join(choose(_VOCABULARY.split(), k=words)) for _ in range(count)],
    }
