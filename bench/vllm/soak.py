"""Minutes of mixed load on the vLLM engine: calls in all modes, clients that disconnect, deadlines and bad input at
once.

Every answer must be a proper one, the memory of all processes must stay flat within 5 % after the warm-up, and vLLM
must hold no request at the end; adaptive calls must have written traces. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from bench.vllm.settings import CPU_ENVIRONMENT, CPU_EXTRA, SCRIPTED, Side
from contract.adaptive.parameters import Gate
from contract.reasoning import Status
from service.models.store import resolve
from tests.contract.adaptive.scripted import PARAMETERS
from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.service.engines.plain_forward import text
from tests.service.engines.vllm.scripted_traces import marker
from tests.service.engines.vllm.serving import descendants, series

# The key/value cache takes memory page by page until all of it was used once. 8192 tokens are used quickly.
SMALL_CACHE = {"num_gpu_blocks_override": 256}
# oneDNN keeps up to 1024 kernels, one for every token count a step ever had, and malloc keeps what was freed between
# them. Both grow for longer than a soak takes, by 0.7 GB in the first four minutes, and would hide a leak.
KEEP_LITTLE = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
CALLERS = 6
SAMPLE_SECONDS = 5.0
WARM_UP_SHARE = 0.25
GROWTH = 0.05
ENDINGS = ("closed", "fused", "ended", "looping", "open")
HELD = ("vllm:num_requests_running", "vllm:num_requests_waiting", "limrank_engine_requests")
BAD: tuple[Any, ...] = (
    {"query": "q"},
    {"query": 7, "documents": ["a"]},
    {"query": "q", "documents": []},
    {"query": "q", "documents": ["a"], "mode": "guess"},
    {"query": "q", "documents": [None]},
    {"query": "word " * 5000, "documents": ["a"]},
)


@dataclass
class Seen:
    """The answers, counted by kind. `wrong` holds those that should not have occurred. `ways`: documents of adaptive
    calls by how their scores were reached."""

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)

    def judge(self, kind: str, answer: httpx.Response, allowed: Sequence[int], documents: int = 0) -> None:
        self.kinds[f"{kind} {answer.status_code}"] += 1
        if answer.status_code not in allowed:
            self.wrong.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
        elif answer.status_code == 200:
            scores = [result["relevance_score"] for result in answer.json()["results"]]
            if len(scores) != documents or not all(math.isfinite(score) and 0 <= score <= 1 for score in scores):
                self.wrong.append(f"{kind}: {len(scores)} scores for {documents} documents: {scores[:5]}")
        elif answer.status_code in (429, 503) and "retry-after" not in answer.headers:
            self.wrong.append(f"{kind}: {answer.status_code} without Retry-After")


class Caller:
    """One of the callers, each with its own random choices."""

    def __init__(self, client: httpx.AsyncClient, seen: Seen, seed: int) -> None:
        self._client = client
        self._seen = seen
        self._choose = random.Random(seed)

    async def call(self) -> None:
        work: Callable[[], Awaitable[None]] = self._choose.choices(
            (self._direct, self._reasoning, self._adaptive, self._leaving, self._hurried, self._bad),
            weights=(5, 3, 3, 3, 2, 2),
        )[0]
        await work()

    async def _direct(self) -> None:
        body = self._body(self._choose.randint(1, 30))
        self._seen.judge("direct", await self._post(body), (200,), len(body["documents"]))

    async def _reasoning(self) -> None:
        body = self._traced(self._choose.randint(1, 8))
        self._seen.judge("reasoning", await self._post(body), (200,), len(body["documents"]))

    async def _adaptive(self) -> None:
        body = self._raced(self._choose.randint(1, 8))
        answer = await self._post(body)
        self._seen.judge("adaptive", answer, (200,), len(body["documents"]))
        if answer.status_code == 200:
            told, budget = answer.json(), body["reasoning_budget"]
            self._seen.ways.update(result["status"] for result in told["results"])
            if (spent := told["usage"]["completion_tokens"]) > budget or "adaptive" not in told["meta"]:
                self._seen.wrong.append(f"adaptive: {spent} of {budget} tokens, {told['meta']}")

    async def _leaving(self) -> None:
        body = self._any(12, 40)
        try:
            await asyncio.wait_for(self._post(body), self._choose.uniform(0.0, 1.5))
        except TimeoutError:
            self._seen.kinds["left"] += 1

    async def _hurried(self) -> None:
        body = self._any(10, 30)
        headers = {"X-Request-Timeout-Ms": str(self._choose.randint(200, 3000))}
        answer = await self._post(body, headers)
        self._seen.judge("hurried", answer, (200, 503, 504), len(body["documents"]))

    async def _bad(self) -> None:
        self._seen.judge("bad", await self._post(self._choose.choice(BAD)), (400,))

    async def _post(self, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self._client.post("/rerank", json=body, headers=headers)

    def _body(self, documents: int) -> dict[str, Any]:
        texts = [text(self._choose, self._choose.randint(0, 60)) for _ in range(documents)]
        return {"query": text(self._choose, self._choose.randint(2, 40)), "documents": texts}

    def _any(self, reasoned: int, direct: int) -> dict[str, Any]:
        """A call of so many documents in any of the modes."""
        make = self._choose.choice((self._traced, self._raced, self._body))
        return make(direct if make == self._body else reasoned)

    def _raced(self, documents: int) -> dict[str, Any]:
        budget = self._choose.choice((0, 40, 150, 600))
        return self._traced(documents) | {"mode": "adaptive", "reasoning_budget": budget, "top_n": documents}

    def _traced(self, documents: int) -> dict[str, Any]:
        body = self._body(documents)
        body["documents"] = [f"{each} {marker(self._choose.choice(ENDINGS))}" for each in body["documents"]]
        return body | {"mode": "reasoning", "max_reasoning_tokens": self._choose.randint(1, 64)}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the results. Returns 0 when all are as required."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args(argv).minutes
    extra = CPU_EXTRA | SCRIPTED | SMALL_CACHE
    environment = CPU_ENVIRONMENT | KEEP_LITTLE | {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        flags = Side(str(_model(Path(folder))), extra=extra, max_num_seqs=24).service_flags()
        with server("service.main", free_port(), Path(folder), *flags, **environment) as running:
            seen, memory = asyncio.run(_load(running, minutes * 60))
            left = _left(running)
            code = running.stop(90)
    return _report(seen, memory, left, code)


def _model(folder: Path) -> Path:
    """A base that reasons in adaptive mode too, by parameters that are made up."""
    base = resolve("smollm2-135m-instruct")
    shutil.copytree(base.folder, folder / "model")
    gate = Gate(PARAMETERS, "made up").to_json(base.manifest.fingerprint)
    replace(base.manifest, adaptive=gate).write(folder / "model")
    return folder / "model"


async def _load(running: ServerProcess, seconds: float) -> tuple[Seen, list[int]]:
    """Runs the load and samples the memory of all processes, in bytes, every few seconds."""
    seen, memory, end = Seen(), [], time.monotonic() + seconds

    async def keep_calling(seed: int) -> None:
        async with httpx.AsyncClient(base_url=running.url, timeout=300) as client:
            caller = Caller(client, seen, seed)
            while time.monotonic() < end:
                await caller.call()

    callers = [asyncio.create_task(keep_calling(seed)) for seed in range(CALLERS)]
    while not all(caller.done() for caller in callers):
        memory.append(resident(running.process.pid))
        await asyncio.wait(callers, timeout=SAMPLE_SECONDS)
    await asyncio.gather(*callers)
    return seen, memory


def resident(pid: int) -> int:
    """Bytes held by a process and its descendants; memory that several share counts once."""
    return sum(_proportional(each) for each in (pid, *descendants(pid)))


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _left(running: ServerProcess) -> dict[str, float]:
    """Requests that vLLM still holds, once it has had time to notice that all clients are gone."""
    for _ in range(100):
        held = series(running, *HELD)
        if not any(held.values()):
            break
        time.sleep(0.1)
    return held


def _report(seen: Seen, memory: list[int], left: dict[str, float], code: int) -> int:
    settled = memory[int(len(memory) * WARM_UP_SHARE) :]
    third = max(1, len(settled) // 3)
    before, after = statistics.median(settled[:third]), statistics.median(settled[-third:])
    growth = after / before - 1
    print("answers:", ", ".join(f"{kind}: {count}" for kind, count in sorted(seen.kinds.items())))
    print("documents of adaptive calls:", ", ".join(f"{way}: {count}" for way, count in sorted(seen.ways.items())))
    print(f"memory after the warm-up: {before / 2**20:.0f} MiB, at the end {after / 2**20:.0f} MiB ({growth:+.1%})")
    print(f"held by vLLM at the end: {left}; exit code {code}; improper answers: {len(seen.wrong)}")
    print("\n".join(seen.wrong[:20]))
    raced = seen.ways.keys() - {Status.DIRECT.value}
    return int(not raced or bool(seen.wrong) or abs(growth) > GROWTH or any(left.values()) or code != 0)


if __name__ == "__main__":
    sys.exit(main())
