"""A hub that cannot be reached: the real client of the hub, in a process of its own, asks a port of this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.evaluation.small_data import beir_folder
from tests.ports import free_port
from tests.processes import ROOT, clean_environment
from tests.waiting import PATIENCE

# The client asks six times and sleeps 23 seconds in between; here it only asks.
PROGRAM = """
import sys, time
time.sleep = lambda seconds: None
from evaluation.cli import main
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def nobody() -> Iterator[int]:
    """A port where nothing listens."""
    yield free_port()


@contextmanager
def silence() -> Iterator[int]:
    """A port where every connection is closed without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def hang_up() -> None:
            while not ended.is_set():
                connection, _ = listening.accept()
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        port = int(listening.getsockname()[1])
        try:
            yield port
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def evaluate(port: int, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`limrank-eval` in a process of its own, whose hub is that port."""
    endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(folder / "hf")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env=clean_environment(**endpoint, HF_HUB_OFFLINE="0", NO_PROXY="127.0.0.1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("hub", [nobody, silence])
def test_a_task_whose_hub_cannot_be_reached_is_not_run_and_says_why(
    hub: Callable[[], AbstractContextManager[int]], tmp_path: Path
) -> None:
    with hub() as port:
        child = evaluate(port, tmp_path, "run", "litsearch", "--bm25", "--out", str(tmp_path / "out"))
    assert child.returncode == 0, child.stderr
    said = "princeton-nlp/LitSearch (query/full) could not be loaded from the hub: "
    assert child.stdout.startswith(f"litsearch/full: not run: {said}")
    assert "Traceback" not in child.stderr
    found = json.loads((tmp_path / "out" / "litsearch-full" / "not_run.json").read_text(encoding="utf-8"))
    assert found["not_run"].startswith(said)
    assert len(found["not_run"]) > len(said)


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_an_encoder_that_the_hub_does_not_give_is_a_sentence(kind: str, tmp_path: Path) -> None:
    data = beir_folder(tmp_path / "own")
    with silence() as port:
        words = ["run", "beir", "--data", str(data), "--out", str(tmp_path / "out"), f"--{kind}", "nobody/encoder"]
        child = evaluate(port, tmp_path, *words)
    assert child.returncode == 2, child.stderr
    assert f"limrank-eval run: The {kind} 'nobody/encoder' cannot be loaded (" in child.stderr
    assert "Traceback" not in child.stderr
