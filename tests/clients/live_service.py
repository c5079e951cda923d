"""The real service as a process of its own, with the embedded model, and what the client tests ask of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE, wait_until
from tests.warm import WarmProcess

KEY = "key-of-the-client-tests"
SLOW_KEY = "key-of-a-slow-client-test"  # good for one call of DOCUMENTS per minute
MAX_DOCUMENTS = 50

QUERY = "How do glaciers shape valleys?"
DOCUMENTS = [
    "Bread rises because yeast turns sugar into gas.",
    "A glacier grinds the rock beneath it and leaves a U-shaped valley.",
    "Rivers cut narrow valleys in the shape of a V.",
]


KEYS = f"""
[[keys]]
name = "clients"
secret = "{KEY}"

[[keys]]
name = "slow"
secret = "{SLOW_KEY}"
documents_per_minute = {len(DOCUMENTS)}
"""


@dataclass(frozen=True, slots=True)
class LiveService:
    """Where the service listens and the key it knows."""

    url: str
    key: str

    def post(self, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
        """Status and parsed answer of a plain POST."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key if key is None else key}"}
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ranking(self, documents: Any = None, **more: Any) -> list[tuple[int, float]]:
        """What a plain POST says to the documents every client is given: (index, relevance), best first."""
        status, answer = self.post("/v1/rerank", {"query": QUERY, "documents": documents or DOCUMENTS} | more)
        assert status == 200, answer
        return [(result["index"], result["relevance_score"]) for result in answer["results"]]


@contextmanager
def live_service(folder: Path) -> Iterator[LiveService]:
    """Start the service, wait until it is ready, stop it as Kubernetes would. `folder` takes its keys and its log."""
    keys = folder / "keys.toml"
    keys.write_text(KEYS)
    url = f"http://127.0.0.1:{_free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMRANK_")}
    # Where cores are shared, threads that spin while they wait make a call of three documents take 5 s, not 0.3 s.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = [sys.executable, "-m", "service.main", "--port", url.rpartition(":")[2], "--drain-delay", "0"]
    command += ["--keys-file", str(keys), "--max-documents", str(MAX_DOCUMENTS)]
    if cache := os.environ.get("LIMRANK_TEST_CACHE"):
        command += ["--cache-dir", cache]
    with (folder / "log").open("wb") as log:
        process = WarmProcess(command, cwd=Path.cwd(), env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(url, process, folder / "log")
        yield LiveService(url, KEY)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, f"The service exited with {process.returncode}:\n{log.read_text()[-4000:]}"
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=PATIENCE):
                return True
        except (urllib.error.URLError, TimeoutError):
            return False

    wait_until(ready, lambda: f"The service was not ready:\n{log.read_text()[-4000:]}", 0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
