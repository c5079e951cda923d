"""The limit over all replicas that docs/operations.md offers, in a real nginx in front of two servers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, server
from tests.requirements_check import require
from tests.service.http.raw import BODY
from tests.service.http.test_real_clients import NGINX

KEYS = "".join(f'[[keys]]\nname = "{name}"\nsecret = "{name}-secret-of-the-tests-0123456789"\n' for name in "ab")
BURST = 10  # as in the page
_FRAME = """
daemon off;
{user}pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {example}
}}
"""


def as_documented(port: int, servers: list[ServerProcess]) -> str:
    """The example of the page, at this port, before these servers, and with a rate that no machine is too slow for."""
    page = (ROOT / "docs" / "operations.md").read_text()
    [example] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    upstreams = [address.removeprefix("http://") for address in (each.url for each in servers)]
    changes = {
        "rate=5r/s": "rate=1r/m",
        "listen 8000": f"listen 127.0.0.1:{port}",
        "10.0.0.1:8080": upstreams[0],
        "10.0.0.2:8080": upstreams[1],
    }
    for old, new in changes.items():
        assert example.count(old) == 1, old
        example = example.replace(old, new)
    return str(example)


@contextmanager
def nginx(folder: Path, port: int, example: str) -> Iterator[httpx.Client]:
    require("nginx", present=NGINX is not None, remedy="install the system package nginx-light")
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its workers may not enter a test's folder
    (folder / "nginx.conf").write_text(_FRAME.format(user=user, folder=folder, example=example))
    command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(100_000):
                try:
                    client.get("/health/live", headers={"Authorization": "nobody"})
                    break
                except httpx.TransportError:
                    assert process.poll() is None, (folder / "error.log").read_text()
            yield client
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[ServerProcess]]:
    keys = tmp_path / "keys.toml"
    keys.write_text(KEYS)
    with ExitStack() as running:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        flags = ("--drain-delay", "0", "--keys-file", str(keys))
        yield [
            running.enter_context(server("tests.service.scripted_server", free_port(), folder, *flags))
            for folder in folders
        ]


def test_a_key_s_calls_are_limited_over_both_replicas(replicas: list[ServerProcess], tmp_path: Path) -> None:
    port = free_port()

    def call(name: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {name}-secret-of-the-tests-0123456789"}
        return client.post("/rerank", content=BODY, headers=headers)

    with nginx(tmp_path, port, as_documented(port, replicas)) as client:
        answers = [call("a") for _ in range(3 * BURST)]
        other = call("b")
    statuses = [answer.status_code for answer in answers]
    assert statuses[: 1 + BURST] == [200] * (1 + BURST)
    assert set(statuses[1 + BURST :]) == {429}
    assert answers[-1].headers["retry-after"] == "1"
    assert "retry later" in answers[-1].json()["message"]
    assert other.status_code == 200
    served = [len(re.findall(r'"key": ?"a"', replica.log.read_text())) for replica in replicas]
    assert min(served) > 0, "both took some of them"
