"""The limit over all replicas that docs/operations.md offers, in a real nginx in front of two servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, server
from tests.service.http.nginx import nginx
from tests.service.http.raw import BODY

KEYS = "".join(f'[[keys]]\nname = "{name}"\nsecret = "{name}-secret-of-the-tests-0123456789"\n' for name in "ab")
BURST = 10  # as in the page


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

    with (
        nginx(tmp_path, port, as_documented(port, replicas)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
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
