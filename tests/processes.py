"""Server processes for tests: started on a free port, waited for, and ended by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.waiting import PATIENCE, wait_until
from tests.warm import WarmProcess

ROOT = Path(__file__).parent.parent


@dataclass(slots=True)
class ServerProcess:
    """A running server: where it listens, its process and the file its log goes to. `metrics_url`: where it shows
    metrics, if that is a port of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    metrics_url: str | None = None

    def get(self, path: str, **kwargs: object) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE, **kwargs)  # type: ignore[arg-type]

    def rerank(
        self, body: object, *, timeout: float = PATIENCE, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return httpx.post(f"{self.url}/rerank", json=body, timeout=timeout, headers=headers)

    def metric(self, name: str) -> float:
        """The value of a series as it is written on the page, or the sum of those with this name."""
        lines = httpx.get(f"{self.metrics_url or self.url}/metrics", timeout=PATIENCE).text.splitlines()
        values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert values, f"no series {name}"
        return sum(values)

    def wait_for(self, name: str, value: float, patience: float = PATIENCE) -> None:
        """Wait until a metric has a value."""
        wait_until(
            lambda: self.metric(name) == value, lambda: f"{name} is {self.metric(name)}, not {value}", 0.02, patience
        )

    def wait_for_more(self, name: str, value: float) -> None:
        """Wait until a metric is above a value."""
        wait_until(lambda: self.metric(name) > value, lambda: f"{name} is {self.metric(name)}", 0.02)

    def wait_for_line(self, event: str) -> None:
        """Wait until an event is in its log."""
        wait_until(lambda: f'"event": "{event}"' in self.log.read_text(), lambda: self.log.read_text()[-4000:], 0.02)

    def stop(self, patience: float = PATIENCE) -> int:
        """Ask it to stop as a supervisor does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of ours that a developer may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LIMRANK_")} | more


@contextmanager
def server(
    module: str,
    port: int,
    folder: Path,
    *arguments: str,
    **environment: str,
) -> Iterator[ServerProcess]:
    """Run `python -m module --port ...`, wait until it is ready, and make sure that it has ended afterwards."""
    with server_of(WarmProcess, module, port, folder, *arguments, **environment) as running:
        yield running


@contextmanager
def server_of(
    kind: type[WarmProcess], module: str, port: int, folder: Path, *arguments: str, **environment: str
) -> Iterator[ServerProcess]:
    """The same, of another kind of process."""
    log = folder / "server.log"
    command: Sequence[str] = (sys.executable, "-m", module, "--port", str(port), *arguments)
    with log.open("wb") as out:
        process = kind(command, cwd=ROOT, env=clean_environment(**environment), stdout=out, stderr=out)
    running = ServerProcess(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until(lambda: _is_ready(running), lambda: log.read_text()[-4000:], 0.05)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _is_ready(running: ServerProcess) -> bool:
    assert running.process.poll() is None, f"it exited {running.process.returncode}:\n{running.log.read_text()}"
    try:
        return running.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
