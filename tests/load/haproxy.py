"""A real haproxy on a free loopback port in front of two servers, probing their readiness."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.requirements_check import require
from tests.waiting import PATIENCE, wait_until

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
INTERVAL = 0.5  # seconds between probes
_CONFIGURATION = """
global
  stats socket {socket} mode 600
defaults
  mode http
  timeout connect 3600s
  timeout check 3600s
  timeout client 3600s
  timeout server 3600s
listen rerank
  bind 127.0.0.1:{port}
  balance roundrobin
  option httpchk GET /health/ready
  http-check expect status 200
  default-server check inter {interval}ms fall 2 rise 1
  server a 127.0.0.1:{a}
  server b 127.0.0.1:{b}
"""


def require_haproxy() -> None:
    require("haproxy", present=HAPROXY is not None, remedy="install the system package haproxy")


@dataclass(frozen=True, slots=True)
class Haproxy:
    """Where it listens, and where it tells what it counted."""

    url: str
    socket: Path

    def counts(self, server: str) -> dict[str, str]:
        """Its statistics of server `a` or `b`, or of all (`BACKEND`), by the names of its CSV."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        [row] = [row for row in csv.DictReader(text.removeprefix("# ").splitlines()) if row["svname"] == server]
        return row

    def wait_for(self, server: str, status: str) -> None:
        """Wait until it thinks of a server as `UP` or `DOWN`."""
        wait_until(
            lambda: self.counts(server)["status"].startswith(status),
            lambda: f"{server} is not {status}: {self.counts(server)}",
            0.1,
        )


@contextmanager
def haproxy(folder: Path, a: int, b: int) -> Iterator[Haproxy]:
    """Balance between the loopback ports `a` and `b` as long as the context lasts."""
    assert HAPROXY is not None
    with tempfile.TemporaryDirectory() as short:  # a socket's path must be short
        front = Haproxy(f"http://127.0.0.1:{free_port()}", Path(short) / "s")
        port = front.url.rpartition(":")[2]
        interval = int(INTERVAL * 1000)
        text = _CONFIGURATION.format(socket=front.socket, port=port, a=a, b=b, interval=interval)
        (folder / "haproxy.cfg").write_text(text)
        with (folder / "haproxy.log").open("wb") as log:
            command = [HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: front.socket.exists() or process.poll() is not None, "haproxy did not start", 0.05)
            assert process.poll() is None, (folder / "haproxy.log").read_text()
            yield front
        finally:
            process.terminate()
            process.wait(PATIENCE)
