"""A real Prometheus with the chart's rules on a free loopback port, and what the tests ask of it."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.helm.promql import RULE_FILES
from tests.ports import free_port
from tests.waiting import PATIENCE, wait_until


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Where it listens."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API; fails with Prometheus' own words."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=PATIENCE).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def query(self, expression: str) -> list[float]:
        """The value of every series the expression has at this moment."""
        result = self.ask("query", query=expression)["result"]
        return [float(series["value"][1]) for series in result]

    def wait_for(self, expression: str) -> None:
        """Wait until the expression has a series."""
        wait_until(lambda: bool(self.query(expression)), f"no series of {expression}", 0.2)

    def without_series(self, expressions: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those (where, expression) that have no series, or none whose value is a number."""
        return [(where, each) for where, each in expressions if all(map(math.isnan, self.query(each)))]


@contextmanager
def prometheus(folder: Path, target: str, namespace: str, job: str) -> Iterator[Prometheus]:
    """Scrape `target` (host:port) every second under these labels, and evaluate the chart's rules as often."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in RULE_FILES],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target], "labels": {"namespace": namespace}}]}
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _ready(address, process, folder / "prometheus.log"), "Prometheus is not ready", 0.05)
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


def _ready(address: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-4000:]
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False
