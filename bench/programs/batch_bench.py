"""`limrank batch` on many documents: peak memory on a tenth and on all of them; documents per second beside those of
the engine alone, measured before and after; and two workers on a local Ray cluster beside one, each with one core.
`make batch-scale`; needs an idle machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
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
_RAY_CALLS = 180  # of 100 documents: four of Ray's blocks, two for each of two workers


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=100, help="documents of a call")
    parser.add_argument("--model", default="limrank-mini-ce")
    given = parser.parse_args()
    if given.documents % (10 * given.each):
        parser.error("--documents must be a multiple of ten times --each")
    with tempfile.TemporaryDirectory() as folder:
        few, many = (
            _write(Path(folder) / f"{documents}.jsonl", documents // given.each, given.each)
            for documents in (given.documents // 10, given.documents)
        )
        lines = few.read_text(encoding="utf-8").splitlines()
        before = _say_alone(lines, given.model)
        _, peak = _batch(few, given.model)
        print(f"batch, {given.documents // 10:,} documents: at most {peak:,.0f} MiB", flush=True)
        seconds, peak = _batch(many, given.model)
        rate = given.documents / seconds
        print(f"batch, {given.documents:,} documents: {rate:,.1f} a second, at most {peak:,.0f} MiB", flush=True)
        after = _say_alone(lines, given.model)
        print(f"batch / engine alone: {2 * rate / (before + after):.3f}", flush=True)
        _say_workers(_write(Path(folder) / "ray.jsonl", _RAY_CALLS, given.each), given.each, given.model)


def _say_alone(lines: Sequence[str], model: str) -> float:
    rate = asyncio.run(_engine_alone(lines, model))
    print(f"engine alone: {rate:,.1f} documents a second", flush=True)
    return rate


def _say_workers(calls: Path, each: int, model: str) -> None:
    """Two workers and one, each with one core, on the same calls. The time of a run of one call, which starts the
    cluster and loads the models, is subtracted."""
    rates = {}
    for workers in (2, 1):
        flags = ("--ray", "local", "--ray-workers", str(workers))
        ready = _command(calls, model, *flags, "--limit", "1")
        rates[workers] = (_RAY_CALLS - 1) * each / (_command(calls, model, *flags) - ready)
        print(f"Ray, workers: {workers}; {rates[workers]:,.1f} documents a second", flush=True)
    print(f"two workers / one: {rates[2] / rates[1]:.2f}", flush=True)


def _command(calls: Path, model: str, *flags: str) -> float:
    """Seconds that the whole command takes."""
    _forget(calls)
    begun = time.perf_counter()
    environ = os.environ | {"RAY_worker_niceness": "0"}
    subprocess.run(_words(calls, model, *flags), check=True, stdout=subprocess.DEVNULL, env=environ)
    return time.perf_counter() - begun


def _words(calls: Path, model: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", "batch", str(calls), str(_out(calls)), "--model", model, *flags]


def _out(calls: Path) -> Path:
    return calls.with_suffix(".out")


def _forget(calls: Path) -> None:
    """Removes what an earlier run over the calls has answered."""
    for path in calls.parent.glob(f"{_out(calls).name}*"):
        path.unlink()


def _write(path: Path, calls: int, each: int) -> Path:
    draw = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for number in range(calls):
            texts = [" ".join(draw.choices(_WORDS, k=_PASSAGE_WORDS)) for _ in range(each)]
            body = {"query": f"how is {_WORDS[number % len(_WORDS)]} treated", "documents": texts}
            file.write(json.dumps({"custom_id": str(number), "url": "/v1/rerank", "body": body}) + "\n")
    return path


def _batch(calls: Path, model: str) -> tuple[float, float]:
    """Seconds from the first answer to the end, so without loading, and the peak memory of the process in MiB."""
    out = _out(calls)
    process = subprocess.Popen(_words(calls, model), stdout=subprocess.DEVNULL)
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
