"""A rollout on one machine: two services behind haproxy, one replaced under load and then the other, no call lost."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.load.haproxy import Haproxy, haproxy, require_haproxy
from tests.load.locust_runs import load, require_locust
from tests.ports import free_port
from tests.processes import ServerProcess, server
from tests.waiting import wait_until

# What haproxy counts: answers of these classes, connections and answers that failed, what it tried again.
FAULTS = ("hrsp_4xx", "hrsp_5xx", "econ", "eresp", "wretr", "wredis")


class Release:
    """The services on the two ports, by name; each may be replaced."""

    def __init__(self, folder: Path, model: Path, exits: ExitStack) -> None:
        self.folder = folder
        self.model = model
        self.exits = exits
        self.ports = {"a": free_port(), "b": free_port()}
        self.running: dict[str, ServerProcess] = {}

    def start(self, name: str) -> None:
        """Start the service of this name, as the chart would: a drain delay, a drain budget. Neither ends by itself."""
        folder = self.folder / f"{name}-{time.monotonic_ns()}"
        folder.mkdir()
        patience = ("--drain-delay", "3600", "--drain-budget", "3600", "--request-timeout-seconds", "3600")
        flags = ("--model", str(self.model), "--threads", "1")
        started = server("service.main", self.ports[name], folder, *patience, *flags)
        self.running[name] = self.exits.enter_context(started)

    def replace(self, name: str, front: Haproxy) -> int:
        """Drain the service, start another in its place, wait until it is sent calls. The old one's exit code.

        The drain delay stands for the time in which a balancer notices. It lasts here until haproxy has, and the calls
        that it had sent are answered: a second signal then ends it.
        """
        begun, old = time.monotonic(), self.running[name]
        old.process.send_signal(signal.SIGTERM)
        front.wait_for(name, "DOWN")
        old.wait_for("limrank_running_documents", 0)
        wait_until(lambda: front.counts(name)["scur"] == "0", lambda: f"{front.counts(name)}")
        code = old.stop()
        stopped = time.monotonic()
        self.start(name)
        front.wait_for(name, "UP")
        took = stopped - begun, time.monotonic() - stopped
        print(f"\n{name}: drained in {took[0]:.1f} s, its successor was up {took[1]:.1f} s later")
        return code


def _wait(front: Haproxy, calls: int) -> None:
    """Until every server has answered so many calls."""
    wait_until(
        lambda: min(int(front.counts(name)["hrsp_2xx"]) for name in "ab") >= calls,
        lambda: f"{[front.counts(name) for name in 'ab']}",
        0.1,
    )


def test_a_rollout_loses_no_call(small_model: Path, tmp_path: Path) -> None:
    """And the proof that a lost call would be seen: at last one service is killed without warning. The model is small:
    its answers prove nothing here."""
    require_locust()
    require_haproxy()
    with ExitStack() as exits:
        release = Release(tmp_path, small_model, exits)
        for name in release.ports:
            release.start(name)
        front = exits.enter_context(haproxy(tmp_path, release.ports["a"], release.ports["b"]))
        for name in release.ports:
            front.wait_for(name, "UP")
        callers = ("--scenario", "capacity", "--passages", "3", "--users", "4", "--spawn-rate", "4")
        with load(tmp_path, front.url, *callers) as run:
            _wait(front, 5)
            assert release.replace("a", front) == 0
            assert release.replace("b", front) == 0
            before = {name: int(front.counts(name)["hrsp_2xx"]) for name in "ab"}
            _wait(front, max(before.values()) + 5)  # both replacements answer calls
        print(f"{run['answered']} calls in {run['seconds']:.0f} s, {run['failed']} failed, p95 {run['all']['p95']} s")
        assert (run["code"], run["failed"], run["refused"]) == (0, 0, 0), run
        assert run["answered"] >= 50
        seen = front.counts("BACKEND")
        assert {name: seen[name] for name in FAULTS} == dict.fromkeys(FAULTS, "0")
        assert int(seen["hrsp_2xx"]) >= run["answered"]
        for name in release.ports:
            assert release.running[name].metric("limrank_documents_scored_total") >= 3 * 5

        with load(tmp_path, front.url, "--scenario", "capacity", "--passages", "400", "--users", "4") as run:
            release.running["a"].wait_for_more("limrank_running_documents", 0)
            release.running["a"].process.kill()
            front.wait_for("a", "DOWN")
        print(f"killed without warning: {run['failed']} of {run['calls']} calls failed")
        assert (run["code"], run["failed"] > 0) == (1, True), run
