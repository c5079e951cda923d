"""A caller with a key, a liveness probe and a memory reading, while attackers attack the same server or another."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.hostile.wire import call, passages
from service.api.paths import LIVE_PATHS
from tests.processes import ROOT

SECRETS = {name: f"a-secret-of-{name}-0123456789abcdef" for name in ("caller", "small", "bulk")}
LIMITS = {"small": 600, "bulk": 60_000}  # documents per minute
CONNECTIONS = 128
FLAGS = ("--max-connections", str(CONNECTIONS), "--drain-delay", "0", "--drain-budget", "5")
_MEBIBYTE = 1024 * 1024
_CALLER_PAUSE = 0.1
_PROBE_PAUSE = 0.25
_PROBE_PATIENCE = 30.0
_QUERIES = 150  # fill the transformers engine's prefix cache, of 256 MiB


def write_keys(folder: Path) -> Path:
    """Writes the key file of an attacked server: no limit for the caller's key, one for each key of the attackers."""
    path = folder / "keys.toml"
    with path.open("w") as file:
        for name, secret in SECRETS.items():
            file.write(f'[[keys]]\nname = "{name}"\nsecret = "{secret}"\n')
            if name in LIMITS:
                file.write(f"documents_per_minute = {LIMITS[name]}\n")
    return path


@dataclass
class Seen:
    """What a caller and a probe measured, in seconds, and the server's resident memory in bytes. `unanswered` counts
    the probes without a 200."""

    statuses: Counter[str] = field(default_factory=Counter)
    calls: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    unanswered: int = 0
    memory: list[int] = field(default_factory=list)

    @property
    def p95(self) -> float:
        """Between calls that were made: the default method gives more than the slowest of fewer than 19."""
        if len(self.calls) < 2:
            return float("nan")
        return statistics.quantiles(self.calls, n=20, method="inclusive")[-1]

    @property
    def all_served(self) -> bool:
        return set(self.statuses) == {"200"}


class Watched:
    """A server process, its caller and its probe. `metrics_port`: where it shows metrics."""

    def __init__(self, url: str, pid: int, metrics_port: int) -> None:
        self.url = url
        self.metrics_port = metrics_port
        self._pid = pid
        self._client = httpx.Client(base_url=url, timeout=120, headers={"Authorization": f"Bearer {SECRETS['caller']}"})
        self._calls = 0

    def close(self) -> None:
        self._client.close()

    @property
    def memory(self) -> int:
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    @contextmanager
    def seen(self) -> Iterator[Seen]:
        """Sends calls one after another, each with a probe on its own connection, until the block ends."""
        found, over = Seen(), threading.Event()
        threads = [threading.Thread(target=each, args=(found, over)) for each in (self._call, self._probe)]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def call_once(self) -> str:
        """The status of one ordinary call."""
        self._calls += 1
        content = call(passages(10, 40, self._calls), query=f"query number {self._calls}")
        try:
            return str(self._client.post("/rerank", content=content).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    def settle(self, most: int, seconds: float) -> int:
        """Waits up to `seconds` until at most `most` bytes are resident. Returns the number of resident bytes."""
        deadline = time.monotonic() + seconds
        while (now := self.memory) > most and time.monotonic() < deadline:
            time.sleep(0.5)
        return now

    def _call(self, found: Seen, over: threading.Event) -> None:
        while not over.is_set():
            start = time.monotonic()
            found.statuses[self.call_once()] += 1
            found.calls.append(time.monotonic() - start)
            over.wait(_CALLER_PAUSE)

    def _probe(self, found: Seen, over: threading.Event) -> None:
        while not over.is_set():
            start = time.monotonic()
            try:
                answered = httpx.get(self.url + LIVE_PATHS[0], timeout=_PROBE_PATIENCE).status_code == 200
            except httpx.HTTPError:
                answered = False
            found.unanswered += not answered
            found.probes.append(time.monotonic() - start)
            found.memory.append(self.memory)
            over.wait(_PROBE_PAUSE)


@contextmanager
def attackers(at: Watched, seconds: float) -> Iterator[dict[str, dict[str, int]]]:
    """Attackers in a process of their own, for so long; what came of each attack is there when the block ends."""
    target = (at.url, str(at.metrics_port), str(seconds), str(CONNECTIONS))
    command = (sys.executable, "-m", "bench.hostile.attacks", *target)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        found: dict[str, dict[str, int]] = {}
        yield found
        out, _ = process.communicate(json.dumps({name: SECRETS[name] for name in LIMITS}), timeout=seconds + 120)
    if process.returncode:
        raise RuntimeError(f"the attackers ended with {process.returncode}")
    found.update(json.loads(out))


def attacked(watched: Watched, at: Watched, seconds: float) -> tuple[Seen, dict[str, dict[str, int]]]:
    """What is seen at `watched` while attackers are at work on the server `at`."""
    with watched.seen() as seen, attackers(at, seconds) as found:
        pass
    return seen, found


def unexpected(found: dict[str, dict[str, int]], expected: dict[str, frozenset[str]]) -> list[str]:
    """The outcomes that are not permitted."""
    return [
        f"{name}: {came} ({count} times)"
        for name, counts in found.items()
        for came, count in counts.items()
        if came not in expected[name]
    ]


def warm_up(watched: Watched) -> int:
    """Sends one call of each size, and as many queries as the engine keeps prefixes of. Returns the server's memory
    afterwards, which includes what its allocator, torch and the prefix cache retain for that load."""
    varied = call([text for words in range(5, 105, 10) for text in passages(8, words, words)], top_n=10)
    echoed = call([{"text": "a", "x": "y" * (12 * _MEBIBYTE)}], return_documents=True)
    headers = {"Authorization": f"Bearer {SECRETS['caller']}"}
    with httpx.Client(base_url=watched.url, timeout=600, headers=headers) as client:
        for content in (varied, echoed):
            assert client.post("/rerank", content=content).status_code == 200
        for number in range(_QUERIES):
            asked = call(["a"], query=f"the words of query number {number} " * 4)
            assert client.post("/rerank", content=asked).status_code == 200
        largest = call(passages(10_000, 40, 0), top_n=10)
        with contextlib.suppress(httpx.ReadTimeout):
            client.post("/rerank", content=largest, timeout=10)
    for _ in range(5):
        assert watched.call_once() == "200"
    return watched.memory


def mebibytes(size: float) -> str:
    return f"{size / _MEBIBYTE:.0f} MiB"


def merged(rounds: Sequence[Seen]) -> Seen:
    """Merges rounds of one kind."""
    whole = Seen()
    for each in rounds:
        whole.statuses += each.statuses
        whole.calls += each.calls
        whole.probes += each.probes
        whole.unanswered += each.unanswered
        whole.memory += each.memory
    return whole
