"""The service on a GPU with the shape of Qwen2.5-7B and random weights, over HTTP: tokens per second in both modes.

Beside them stands the ceiling that this machine's own matrix products allow, measured in the same run: of a prompt
token by its arithmetic, of a written token by the bytes of weights that a step must read.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from bench.shapes import QWEN2_5_7B, write_shape
from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, server

ROUNDS = 5
CALLS, DOCUMENTS, WORDS = 8, 250, 300
TRACES, TRACE_TOKENS = 512, 128
STEP_TOKENS, SEATS = 16384, 512
_MATRIX, _REPEATS = 8192, 50
_VOCABULARY = (
    "the of and in to a is was for on with as by from at it river bank water stone history science market theory energy"
)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Tokens per second that matrix products at the measured speed allow, with a context of `context` tokens."""

    flops: float
    bytes_per_second: float

    def prompt_tokens(self, context: int) -> float:
        layers, hidden = int(QWEN2_5_7B["num_hidden_layers"]), int(QWEN2_5_7B["hidden_size"])
        attention = 4 * layers * hidden * context / 2
        return self.flops / (2 * weights_of_layers() + attention)

    def written_tokens(self, seats: int) -> float:
        """Every step reads all weights once, whatever the number of traces."""
        head = int(QWEN2_5_7B["vocab_size"]) * int(QWEN2_5_7B["hidden_size"])
        step = max(2 * (weights_of_layers() + head) / self.bytes_per_second, seats / self.prompt_tokens(0))
        return seats / step


def weights_of_layers() -> int:
    """Weights of all layers, without the two embeddings."""
    hidden, inner = QWEN2_5_7B["hidden_size"], QWEN2_5_7B["intermediate_size"]
    head = hidden // QWEN2_5_7B["num_attention_heads"]
    attention = 2 * hidden * hidden + 2 * hidden * head * QWEN2_5_7B["num_key_value_heads"]
    return int(QWEN2_5_7B["num_hidden_layers"] * (attention + 3 * hidden * inner))


def main() -> int:
    """Print what was measured. There is no target that holds on every GPU, so the result is always 0."""
    ceiling = measure_ceiling()
    torch.cuda.empty_cache()  # the engine's process wants all of it
    speeds = f"{ceiling.flops / 1e12:.0f} TFLOP/s, {ceiling.bytes_per_second / 1e12:.2f} TB/s"
    print(f"{torch.cuda.get_device_name()}: {speeds}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_bytes(lzma.decompress((ROOT / "tests/data/qwen2_5_tokenizer.json.xz").read_bytes()))
        model = write_shape(folder / "model", QWEN2_5_7B, tokenizer)
        flags = (
            *("--engine", "vllm", "--model", str(model), "--dtype", "bfloat16", "--max-model-len", "4096"),
            *("--max-num-batched-tokens", str(STEP_TOKENS), "--max-num-seqs", str(SEATS)),
            *("--vllm-args", json.dumps({"load_format": "dummy"}), "--max-queued-tokens", "100000000"),
        )
        with server("service.main", free_port(), folder, *flags, ready_within=1200) as running:
            _report(running, ceiling)
            running.stop(60)
    return 0


def measure_ceiling() -> Ceiling:
    """The speed of large bfloat16 products, and of reading memory."""
    a = torch.randn(_MATRIX, _MATRIX, device="cuda", dtype=torch.bfloat16)
    product = _seconds(lambda: a @ a)
    block = torch.empty(4 * 2**30, device="cuda", dtype=torch.uint8)
    copy = _seconds(lambda: block[: 2 * 2**30].copy_(block[2 * 2**30 :]))
    return Ceiling(2 * _MATRIX**3 / product, 4 * 2**30 / copy)


def _seconds(work: Any) -> float:
    for _ in range(5):
        work()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(_REPEATS):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / _REPEATS


def _report(running: ServerProcess, ceiling: Ceiling) -> None:
    direct = [asyncio.run(_direct(running.url, seed)) for seed in range(-1, ROUNDS)][1:]
    rate, length = statistics.median(each[0] for each in direct), round(statistics.median(each[1] for each in direct))
    top = ceiling.prompt_tokens(length)
    print(f"direct, {CALLS} calls of {DOCUMENTS} documents, prompts of {length} tokens:")
    print(f"  {rate:9.0f} computed prompt tokens/s = {rate / top:.2f} of the ceiling of {top:.0f}")
    print(f"  {rate / statistics.median(each[2] for each in direct):9.0f} documents/s")
    written = [asyncio.run(_reasoning(running.url, seed)) for seed in range(-1, ROUNDS)][1:]
    rate, top = statistics.median(written), ceiling.written_tokens(SEATS)
    print(f"reasoning, {TRACES} documents at a time, traces of up to {TRACE_TOKENS} tokens:")
    print(f"  {rate:9.0f} written tokens/s = {rate / top:.2f} of the ceiling of {top:.0f}")


async def _direct(url: str, seed: int) -> tuple[float, float, float]:
    """Computed prompt tokens per second, tokens of a prompt, computed tokens per document."""
    begun = time.perf_counter()
    usages = await _calls(url, [{"documents": _passages(DOCUMENTS, seed, n), "query": f"q {n}"} for n in range(CALLS)])
    seconds = time.perf_counter() - begun
    prompts = sum(usage["prompt_tokens"] for usage in usages)
    computed = prompts - sum(usage["cached_tokens"] for usage in usages)
    return computed / seconds, prompts / (CALLS * DOCUMENTS), computed / (CALLS * DOCUMENTS)


async def _reasoning(url: str, seed: int) -> float:
    """Written tokens per second, prompts and verdicts included in the time."""
    fields = {"mode": "reasoning", "max_reasoning_tokens": TRACE_TOKENS}
    begun = time.perf_counter()
    (usage,) = await _calls(url, [{"documents": _passages(TRACES, seed, 0), "query": "q", **fields}])
    return float(usage["completion_tokens"]) / (time.perf_counter() - begun)


async def _calls(url: str, bodies: list[dict[str, Any]]) -> list[dict[str, int]]:
    async with httpx.AsyncClient(base_url=url, timeout=900) as client:
        answers = await asyncio.gather(*(client.post("/rerank", json=body) for body in bodies))
    return [answer.raise_for_status().json()["usage"] for answer in answers]


def _passages(count: int, seed: int, call: int) -> list[str]:
    choose = random.Random(f"{seed} {call}").choices
    return [" ".join(choose(_VOCABULARY.split(), k=WORDS)) for _ in range(count)]
