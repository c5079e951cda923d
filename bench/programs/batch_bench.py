"""`limrank batch` on many documents: peak memory on a tenth and on all of them, and documents per second compared to
the engine alone on the same calls. `make batch-scale`; needs an idle machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from service.engine import Engine, Limits, Prompt
from service.engines.loading import build_engine
from service.models.store import resolve
from service.settings import Settings

_WORDS = ["gout", "joint", "pain", "acid", "kidney", "stone", "dose", "night", "water", "diet", "acute", "treat"]
_PASSAGE_WORDS = 40


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=100, help="documents of a call")
    parser.add_argument("--model", default="limrank-mini-ce")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for documents in (given.documents // 10, given.documents):
            calls = _write(Path(folder) / f"{documents}.jsonl", documents // given.each, given.each)
            seconds, peak = _batch(calls, given.model)
            print(f"batch, {documents:,} documents: {documents / seconds:,.1f} a second, at most {peak:,.0f} MiB")
        sample = given.documents // 10
        lines = (Path(folder) / f"{sample}.jsonl").read_text(encoding="utf-8").splitlines()
        rate = asyncio.run(_engine_alone(lines, given.model))
        print(f"engine alone, {sample:,} documents: {rate:,.1f} a second")


def _write(path: Path, calls: int, each: int) -> Path:
    draw = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for number in range(calls):
            texts = [" ".join(draw.choices(_WORDS, k=_PASSAGE_WORDS)) for _ in range(each)]
            body = {"query": f"how is {_WORDS[number % len(_WORDS)]} treated", "documents": texts}
            file.write(json.dumps({"custom_id": str(number), "url": "/v1/rerank", "body": body}) + "\n")
    return path


def _batch(calls: Path, model: str) -> tuple[float, float]:
    """Seconds as the command reports them, without loading, and the peak memory of its process in MiB."""
    out = calls.with_suffix(".out")
    command = [sys.executable, "-m", "app.cli", "batch", str(calls), str(out), "--model", model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first, peak = None, 0.0
    while process.poll() is None:
        if first is None and out.exists() and out.stat().st_size:
            first = time.perf_counter()
        peak = max(peak, _resident_mib(process.pid))
        time.sleep(0.01)
    if process.returncode or first is None:
        raise SystemExit(f"limrank batch ended with status {process.returncode}")
    return time.perf_counter() - first, peak


def _resident_mib(pid: int) -> float:
    """Peak memory of a process so far; 0 once it has ended. `wait4` would include the parent's memory at the fork."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


async def _engine_alone(lines: Sequence[str], model: str) -> float:
    """Documents per second when the engine gets as many prompts as its window holds, regardless of call boundaries."""
    engine = build_engine(Settings(model=model), resolve(model))
    prompts = [prompt for line in lines for prompt in _prompts(engine, line)]
    window = asyncio.Semaphore(engine.capabilities.window)

    async def one(prompt: Prompt) -> None:
        async with window:
            async for _ in engine.submit([prompt]):
                pass

    await one(prompts[0])
    start = time.perf_counter()
    await asyncio.gather(*map(one, prompts))
    rate = len(prompts) / (time.perf_counter() - start)
    await engine.close()
    return rate


def _prompts(engine: Engine, line: str) -> list[Prompt]:
    encoder = engine.encoder
    row = json.loads(line)
    prefix = encoder.prefix(row["body"]["query"], None, 0)
    rests = encoder.rests(prefix, row["body"]["documents"], Limits())
    return [Prompt(row["custom_id"], prefix.ids, rest.ids, encoder.answers, second=prefix.second) for rest in rests]


if __name__ == "__main__":
    main()
