"""Calls per second of `limrank-synth run`, compared to what latency and concurrency allow.

A scripted endpoint in its own process answers every request after 50 ms; 64 requests may be in flight. The limit is
64 / 0.05 = 1280 calls per second. The endpoint's timer is late, so the target is relative to its measured latency.
Calls are counted at the endpoint, which separates out the start and end of the run with their fewer calls in flight.
Needs an idle machine; exits with 1 when the target is missed. `--processes` sets the number of client processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.synth.runs import ROOT, command, endpoint_knobs, limrank_knobs, toml_of

LATENCY = 0.05
CONCURRENCY = 64
TARGET = 0.9


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=2, help="client processes (default 2)")
    parser.add_argument("--seeds", type=int, default=1500, help="seed queries, of 13 calls each (default 1500)")
    arguments = parser.parse_args()
    endpoint = subprocess.Popen(
        [sys.executable, "-m", "tests.synth.endpoint", "--latency", str(LATENCY)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert endpoint.stdin
    assert endpoint.stdout
    url = endpoint.stdout.readline().strip()
    with tempfile.TemporaryDirectory() as folder:
        shared = endpoint_knobs(url, concurrency=CONCURRENCY, processes=arguments.processes)
        knobs = limrank_knobs(Path(folder), url, arguments.seeds, generator=shared, judge=shared)
        file = toml_of(knobs, Path(folder) / "settings.toml")
        start = time.monotonic()
        subprocess.run(
            command("run", knobs["run"], "--settings", file), cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        whole = time.monotonic() - start
    print("", file=endpoint.stdin, flush=True)
    measured = json.loads(endpoint.stdout.readline())
    endpoint.stdin.close()
    endpoint.wait()
    return _report(measured, whole, arguments.processes)


def _report(measured: dict[str, object], whole: float, processes: int) -> int:
    times, held = measured["times"], measured["held"]
    assert isinstance(times, list)
    assert isinstance(held, float)
    calls, limit = len(times), CONCURRENCY / LATENCY
    whole_rate = calls / (times[-1] - times[0] + LATENCY)
    begin, end = calls // 20, calls - calls // 20
    rate = (end - begin) / (times[end] - times[begin])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = 1000 * (used.ru_utime + used.ru_stime) / calls
    print(f"{calls} calls, {whole:.1f} s with start and end, at most {measured['most_at_once']} at once")
    cost = f"{processor:.2f} ms of processor a call, endpoint included"
    print(f"{processes} client processes, {os.cpu_count()} cores, {cost}")
    print(f"whole run: {whole_rate:.0f} calls/s, {100 * whole_rate / limit:.1f} % of the limit of {limit:.0f}")
    print(f"without its first and last 5 %: {rate:.0f} calls/s, {100 * rate / limit:.1f} %")
    reached = rate * held / CONCURRENCY
    print(f"the endpoint held a request {1000 * held:.1f} ms, {CONCURRENCY / held:.0f} calls/s: {100 * reached:.1f} %")
    return 0 if reached >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
