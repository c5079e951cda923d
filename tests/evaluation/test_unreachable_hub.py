"""A hub that cannot be reached: the real client of the hub, in a process of its own, asks a port of this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from tests.evaluation.small_data import beir_folder
from tests.ports import free_port
from tests.processes import clean_environment
from tests.warm import WarmProcess, run_warm


@dataclass(frozen=True)
class Hub:
    """A port of this machine that the client takes for the hub, and how processes that do so are started: it reads the
    address when it is imported, which takes seconds and is done once."""

    port: int
    kind: type[WarmProcess]

    def evaluate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`limrank-eval` in a process of its own."""
        return run_warm(
            "tests.evaluation.impatient", *words, env=clean_environment(**self.kind.surroundings), kind=self.kind
        )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    port, home = free_port(), str(tmp_path_factory.mktemp("hf"))

    class AsksTheHub(WarmProcess):
        libraries = ("torch", "datasets", "sentence_transformers.cross_encoder")
        surroundings: ClassVar[Mapping[str, str]] = {
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": home,
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }

    return Hub(port, AsksTheHub)


@contextmanager
def nobody(port: int) -> Iterator[None]:
    """Nothing listens."""
    yield


@contextmanager
def silence(port: int) -> Iterator[None]:
    """Every connection is closed without an answer."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        ended = threading.Event()

        def hang_up() -> None:
            while not ended.is_set():
                connection, _ = listening.accept()
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


@pytest.mark.parametrize("answering", [nobody, silence])
def test_a_task_whose_hub_cannot_be_reached_is_not_run_and_says_why(
    hub: Hub, answering: Callable[[int], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with answering(hub.port):
        child = hub.evaluate("run", "litsearch", "--bm25", "--out", str(tmp_path / "out"))
    assert child.returncode == 0, child.stderr
    said = "princeton-nlp/LitSearch (query/full) could not be loaded from the hub: "
    assert child.stdout.startswith(f"litsearch/full: not run: {said}")
    assert "Traceback" not in child.stderr
    found = json.loads((tmp_path / "out" / "litsearch-full" / "not_run.json").read_text(encoding="utf-8"))
    assert found["not_run"].startswith(said)
    assert len(found["not_run"]) > len(said)


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_an_encoder_that_the_hub_does_not_give_is_a_sentence(hub: Hub, kind: str, tmp_path: Path) -> None:
    data = beir_folder(tmp_path / "own")
    with silence(hub.port):
        words = ["run", "beir", "--data", str(data), "--out", str(tmp_path / "out"), f"--{kind}", "nobody/encoder"]
        child = hub.evaluate(*words)
    assert child.returncode == 2, child.stderr
    assert f"limrank-eval run: The {kind} 'nobody/encoder' cannot be loaded (" in child.stderr
    assert "Traceback" not in child.stderr
