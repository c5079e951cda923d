"""What the service does under more load than it can serve: make bench-overload, which runs
`python -m bench.overload.overload_bench`.

First the capacity of each engine is measured: callers that keep it full, in documents a second. Then calls of 30 to 100
documents, due in 10 or 60 seconds, come at 0.5, 1, 2 and 4 times that capacity, at random instants that are the same
in every run. Counted are documents of calls that were answered by their deadline, as seen by the caller, as a share of
what the engine could have done in the time; the first quarter of the time does not count. Targets: at 2 and 4 times the
capacity at least 0.9 of what load 1 achieves, and every refusal with Retry-After and within a second, or as soon as the
call became hopeless. Exit code 1 where one is missed. Needs an idle machine.

A short run, 75 seconds an engine: `--seconds 15 --capacity-seconds 12`. A server that runs already, of any version:
`--url`. With reasoning: `--mode reasoning`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.overload.load import Call, Seen, arrivals, kept_full, offered
from bench.vllm.settings import CPU_ENVIRONMENT, CPU_EXTRA, Side
from service.models.store import resolve
from tests.ports import free_port
from tests.processes import server

MODELS = {"cross-encoder": "limrank-mini-ce", "transformers": "limrank-mini", "vllm": "limrank-mini"}
LOADS = (0.5, 1.0, 2.0, 4.0)
LEAST_OF_LOAD_ONE = 0.9


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table for each engine; 0 when all targets are met."""
    options = _options(argv)
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    met = True
    for engine in [options.url] if options.url else options.engines.split(","):
        with _serving(engine) as url:
            met = asyncio.run(_measure(engine, url, options)) and met
    return 0 if met else 1


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default=",".join(MODELS))
    parser.add_argument("--url", default="", help="a server that runs, in place of those that are started")
    parser.add_argument("--seconds", type=float, default=90.0, help="of each load")
    parser.add_argument("--capacity-seconds", type=float, default=30.0)
    parser.add_argument("--loads", default=",".join(map(str, LOADS)))
    parser.add_argument("--words", type=int, default=60, help="of a document")
    parser.add_argument("--mode", default="direct", choices=("direct", "reasoning"))
    return parser.parse_args(argv)


@contextmanager
def _serving(engine: str) -> Iterator[str]:
    if engine not in MODELS:
        yield engine
        return
    flags = ["--engine", engine, "--model", MODELS[engine], "--drain-delay", "0", "--drain-budget", "5"]
    environment = {}
    if engine == "vllm":
        flags = Side(str(resolve(MODELS[engine]).folder), extra=CPU_EXTRA).service_flags()
        environment = CPU_ENVIRONMENT | {"HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        server("service.main", free_port(), Path(folder), *flags, **environment) as running,
    ):
        yield running.url
        running.stop(60)


async def _measure(engine: str, url: str, options: argparse.Namespace) -> bool:
    """One engine's table; True when its targets are met."""
    capacity = await kept_full(url, options.mode, options.words, options.capacity_seconds)
    print(f"\n{engine}, {options.mode}: capacity {capacity:.1f} documents/s", flush=True)
    print("load  in time  calls  answered  refused  given up  late  unanswered  refused: p95, most s  Retry-After s")
    shares, faults = {}, []
    for load in map(float, options.loads.split(",")):
        calls = arrivals(load * capacity, options.seconds)
        seen = await offered(url, options.mode, options.words, calls, options.seconds)
        shares[load] = seen.in_time / (capacity * seen.counted_seconds)
        print(_row(load, shares[load], calls, seen), flush=True)
        faults += [f"at load {load:g}: {fault}" for fault in _faults(seen)]
    for load, share in shares.items():
        if load > 1 and 1.0 in shares and share < LEAST_OF_LOAD_ONE * shares[1.0]:
            faults.append(f"at load {load:g} {share / shares[1.0]:.2f} of what load 1 achieves")
    print("\n".join(f"MISSED: {fault}" for fault in faults) or "all targets met", flush=True)
    return not faults


def _row(load: float, share: float, calls: Sequence[Call], seen: Seen) -> str:
    quick = sorted(seen.refused) or [0.0]
    advice = seen.retry_after or [0.0]
    return (
        f"{load:4g} {share:8.2f} {len(calls):6} {seen.answered:9} {len(seen.refused):8} {len(seen.given_up):9} "
        f"{seen.late:5} {seen.unanswered:11} {quick[int(0.95 * (len(quick) - 1))]:14.2f}, {quick[-1]:4.2f}   "
        f"{min(advice):5.0f} to {max(advice):.0f}"
    )


def _faults(seen: Seen) -> list[str]:
    faults = []
    if seen.without_advice:
        faults.append(f"{seen.without_advice} refusals without Retry-After")
    if seen.others:
        faults.append(f"unexpected answers: {dict(seen.others)}")
    return faults


if __name__ == "__main__":
    sys.exit(main())
