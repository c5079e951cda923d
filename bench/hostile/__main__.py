"""Hostile traffic beside a caller with a key, on both engines that run on a CPU: `python -m bench.hostile`.

Starts two servers of the same model. The caller calls the first. In control rounds the attackers attack the second, so
that they use the same share of the machine; half of the control rounds come before a minute of attack, half after. The
caller must always get 200, and its p95 under attack may be at most three times that of the control. Liveness must be
answered within a second. Memory must return to what it was after a first, short attack of the same kind: what libraries
make once they keep, and a leak grows. Exits with 1 when a bound is missed. Runs on loopback, in less than four minutes
an engine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.hostile.attacks import EXPECTED
from bench.hostile.rounds import FLAGS, Seen, Watched, attacked, mebibytes, merged, unexpected, warm_up, write_keys
from bench.service.loop_lag import REPORT
from tests.ports import free_port
from tests.processes import server

MODELS = {"cross-encoder": "limrank-mini-ce", "transformers": "limrank-mini"}
MOST_TIMES = 3.0
MOST_SECONDS_ALIVE = 1.0
MEMORY_MARGIN = 0.15  # share of the resident memory before the attack
FIRST_SECONDS = 10.0
SETTLE_SECONDS = 15.0  # the service gives memory back within five seconds of the last large body


@dataclass
class Outcome:
    """The run of one engine. Memory is in bytes: of a server that has answered calls of all sizes, after a first
    attack, and after the attack, each once it has settled."""

    engine: str
    controls: Sequence[Seen]
    attack: Seen
    fresh: int
    before: int
    after: int
    found: dict[str, dict[str, int]]

    @property
    def control(self) -> Seen:
        return merged(self.controls)

    def missed(self) -> list[str]:
        """The missed bounds, as sentences."""
        attack, control, faults = self.attack, self.control, []
        if not attack.all_served:
            faults.append(f"the caller's calls were answered {dict(attack.statuses)}")
        if not attack.p95 <= MOST_TIMES * control.p95:
            faults.append(f"p95 is {attack.p95 / control.p95:.1f} times the control's")
        if attack.unanswered or max(attack.probes) > MOST_SECONDS_ALIVE:
            faults.append(f"liveness took {max(attack.probes):.2f} s, {attack.unanswered} probes were not answered")
        if self.after > (1 + MEMORY_MARGIN) * self.before:
            faults.append(f"memory went from {mebibytes(self.before)} to {mebibytes(self.after)}")
        return faults + unexpected(self.found, EXPECTED)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of attack, and of control, for each engine")
    parser.add_argument("--engines", default=",".join(MODELS), help="cross-encoder, transformers or both, by a comma")
    parser.add_argument("--lag", action="store_true", help="print what stood in the way of the event loop")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as limrank-serve sets it, before torch is imported anywhere
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    missed = False
    for engine in options.engines.split(","):
        outcome = _run(engine, options.seconds, lag=options.lag)
        _report(outcome)
        missed = missed or bool(outcome.missed())
    return 1 if missed else 0


def _run(engine: str, seconds: float, *, lag: bool) -> Outcome:
    with _serving(engine, lag=lag) as watched, _serving(engine) as other:
        with ThreadPoolExecutor(2) as both:
            fresh, _ = both.map(warm_up, (watched, other))
        attacked(watched, watched, FIRST_SECONDS)
        before = watched.settle(0, SETTLE_SECONDS)
        first, _ = attacked(watched, other, seconds / 2)
        attack, found = attacked(watched, watched, seconds)
        after = watched.settle(int((1 + MEMORY_MARGIN) * before), SETTLE_SECONDS)
        second, _ = attacked(watched, other, seconds / 2)
    return Outcome(engine, [first, second], attack, fresh, before, after, found)


@contextmanager
def _serving(engine: str, *, lag: bool = False) -> Iterator[Watched]:
    """A server of its own. With `lag` its event loop is watched, and what stood in its way printed at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keys = str(write_keys(folder))
        metrics = free_port()
        own = ("--model", MODELS[engine], "--engine", engine, "--keys-file", keys, "--metrics-port", str(metrics))
        module = "bench.service.loop_lag" if lag else "service.main"
        running = stack.enter_context(server(module, free_port(), folder, *own, *FLAGS))
        watched = Watched(running.url, running.process.pid, metrics)
        stack.callback(watched.close)
        yield watched
        if lag:
            running.stop()
            print(running.log.read_text().rpartition(REPORT)[2])


def _report(outcome: Outcome) -> None:
    print(f"\n{outcome.engine}")
    print("round     calls  refused  p50 s  p95 s  alive: most s  unanswered  memory: most")
    first, second = outcome.controls
    for name, seen in (("control", first), ("attack", outcome.attack), ("control", second)):
        refused = sum(count for status, count in seen.statuses.items() if status != "200")
        p50 = sorted(seen.calls)[len(seen.calls) // 2]
        print(
            f"{name:8} {len(seen.calls):6} {refused:8} {p50:6.2f} {seen.p95:6.2f} {max(seen.probes):14.2f} "
            f"{seen.unanswered:11} {mebibytes(max(seen.memory)):>13}"
        )
    ratio = outcome.attack.p95 / outcome.control.p95
    memory = ", ".join(map(mebibytes, (outcome.fresh, outcome.before, outcome.after)))
    print(f"p95 ratio {ratio:.2f}; memory fresh, after {FIRST_SECONDS:g} s of attack, and after all of it: {memory}")
    for name, counts in outcome.found.items():
        print(f"  {name:26} {', '.join(f'{came} {count}' for came, count in sorted(counts.items())) or 'nothing came'}")
    for fault in outcome.missed():
        print(f"MISSED: {fault}")
    print("all bounds met" if not outcome.missed() else "bounds missed", flush=True)


if __name__ == "__main__":
    sys.exit(main())
