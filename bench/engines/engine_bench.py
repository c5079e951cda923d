"""The transformers engine compared to a plain padded loop, and to itself serving one call after another.

Ratios of medians of interleaved rounds in one run: same weights, same threads, same prompts in the same order, from
text to scores. Scores must agree to 1e-3 in log-odds. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer

from bench.engines.padded_loop import PaddedLoop
from contract.segments import Segments
from service.engine import Limits, Scoring
from service.engines.transformers.engine import TransformersEngine
from service.lifecycle import Lifecycle
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from service.scheduling.encoding import CallText, EncodingPool
from service.scheduling.throughput import Throughput
from service.scheduling.watchdog import Watchdog
from service.scheduling.window import Window
from service.scheduling.work import Work

MODEL = "smollm2-135m-instruct"
_TOLERANCE = 1e-3
_TEXT = (
    "the of and in to a is was for on with as by from at it an be this which river bank water stone history science "
    "market theory energy light small large cell protein engine travel music garden political economy report measured "
    "value results people city winter summer house language model passage because although before their would found"
)


@dataclass
class Measured:
    """One row of the table. `ours` and `peer` are the seconds of each round; `target` bounds the ratio peer / ours."""

    name: str
    target: float
    peer: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.peer) / statistics.median(self.ours)

    @property
    def met(self) -> bool:
        return self.ratio >= self.target


@dataclass
class Together:
    """Case (d): seconds of eight calls one after another, of the same calls together, and of the median call among
    those."""

    after: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    caller: list[float] = field(default_factory=list)


class Bench:
    """Holds the engine, the peer and the event loop in which the engine runs."""

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        assert checkpoint.manifest.format is not None
        torch.set_num_threads(threads)
        tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
        self.engine = TransformersEngine.load(checkpoint, dtype="float32", threads=threads)
        self.peer = PaddedLoop(checkpoint.folder, Segments(checkpoint.manifest.format, tokenizer))
        self.encoding = EncodingPool(self.engine.encoder)
        self._window = Window(self.engine, self.engine.capabilities.window, Throughput())
        self._calls = 0

    async def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """The engine's log-odds, under a query that it has not seen before."""
        self._calls += 1
        encoded = await self.encoding.encode(CallText(query, None, passages, Limits()), "bench")
        work = Work(
            call=f"call-{self._calls}",
            prefix=encoded.prefix,
            rests=encoded.rests,
            answers=self.engine.encoder.answers,
            scoring=Scoring.DIRECT,
            budget=0,
            priority=1,
            deadline=time.monotonic() + 3600,
        )
        answer = await self._window.run(work)
        return [completion.answers[0] - completion.answers[1] for completion in answer.completions]

    async def beside_peer(self, case: Measured, query_words: int, lengths: Sequence[int], seed: int) -> None:
        """One round of cases (a) to (c): the same texts to both, which take turns to start."""
        choose = random.Random(seed)
        query, passages = random_text(choose, query_words), [random_text(choose, length) for length in lengths]
        odds: dict[str, list[float]] = {}
        for who in ("peer", "ours") if seed % 2 else ("ours", "peer"):
            start = time.perf_counter()
            if who == "peer":
                odds[who] = self.peer.score(query, passages)
            else:
                odds[who] = await self.score(query, passages)
            getattr(case, who).append(time.perf_counter() - start)
        worst = max(abs(a - b) for a, b in zip(odds["peer"], odds["ours"], strict=True))
        if worst > _TOLERANCE:
            raise SystemExit(f"{case.name}: the scores differ by {worst:.2g} in log-odds; a speed says nothing then.")

    async def together(self, case: Together, seed: int) -> None:
        """One round of case (d): eight calls of eight passages of 100 words."""
        choose = random.Random(seed)
        for together in (True, False) if seed % 2 else (False, True):
            calls = [(random_text(choose, 10), [random_text(choose, 100) for _ in range(8)]) for _ in range(8)]
            start = time.perf_counter()
            if together:
                latencies = await asyncio.gather(*(self._latency(*call) for call in calls))
                case.together.append(time.perf_counter() - start)
                case.caller.append(statistics.median(latencies))
            else:
                for call in calls:
                    await self.score(*call)
                case.after.append(time.perf_counter() - start)

    async def _latency(self, query: str, passages: Sequence[str]) -> float:
        start = time.perf_counter()
        await self.score(query, passages)
        return time.perf_counter() - start


def main() -> int:
    """Runs the cases named on the command line (default: all). Returns 0 when all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", default="abcd", help="which of a, b, c and d")
    options = parser.parse_args()
    return asyncio.run(_run(options.cases, options.rounds, options.threads))


async def _run(cases: str, rounds: int, threads: int) -> int:
    bench = Bench(resolve(MODEL), threads)
    print(_machine(threads), flush=True)
    lines = {
        "a": (Measured("(a) 64 passages of 200 words, query of 10", 1.0), 10, _each(200)),
        "b": (Measured("(b) 64 passages of 20 to 300 words, query of 10", 1.5), 10, _mixed_lengths),
        "c": (Measured("(c) 64 passages of 60 words, query of 500", 5.0), 500, _each(60)),
    }
    together = Together()
    await Watchdog(bench.engine, Lifecycle(), lambda _: None).warm_up()
    bench.peer.score("what is a reranker", ["A reranker orders passages."])
    for seed in range(rounds):
        for name in cases:
            if name == "d":
                await bench.together(together, seed)
            else:
                case, query_words, lengths = lines[name]
                await bench.beside_peer(case, query_words, lengths(seed), seed)
    bench.encoding.close()
    await bench.engine.close()
    met = [_report_case(lines[name][0]) for name in cases if name in lines]
    if "d" in cases:
        met += _report_together(together)
    return 0 if all(met) else 1


def _mixed_lengths(seed: int) -> list[int]:
    choose = random.Random(seed)
    return [choose.randint(20, 300) for _ in range(64)]


def _each(words: int) -> Callable[[int], list[int]]:
    return lambda _: [words] * 64


def random_text(choose: random.Random, words: int) -> str:
    return " ".join(choose.choices(_TEXT.split(), k=words))


def _machine(threads: int) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    load = os.getloadavg()[0]
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {threads} threads, load {load:.1f}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    )


def _report_case(case: Measured) -> bool:
    print(f"{case.name:50} {case.ratio:5.2f}x  (target >= {case.target:.1f}) {_mark(case.met)}")
    print(f"    padded loop {_spread(case.peer)}")
    print(f"    engine      {_spread(case.ours)}")
    return case.met


def _report_together(case: Together) -> list[bool]:
    after, together = statistics.median(case.after), statistics.median(case.together)
    total, caller = after / together, statistics.median(case.caller) / together
    met = [total >= 1.0, caller <= 0.75]
    name = "(d) 8 calls of 8 passages of 100 words, together"
    print(f"{name:50} {total:5.2f}x  (target >= 1.0) {_mark(met[0])}")
    print(f"{'    median caller, share of the total':50} {caller:5.2f}   (target <= 0.75) {_mark(met[1])}")
    print(f"    one by one  {_spread(case.after)}")
    print(f"    together    {_spread(case.together)}")
    print(f"    a caller    {_spread(case.caller)}")
    return met


def _spread(seconds: Sequence[float]) -> str:
    return f"median {statistics.median(seconds):6.2f} s, min {min(seconds):6.2f}, max {max(seconds):6.2f}"


def _mark(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
