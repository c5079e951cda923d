"""Small calls beside a call of a thousand documents. A model of two small layers: what is measured is whose turn it is.

The thousand-document call is kept up by sending the next one when one ends, so that it runs all the time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from bench.shapes import TINY, write_shape
from service.models.checkpoint import Checkpoint
from tests.processes import ServerProcess
from tests.service.engines.company import Crowd, call, cost_in_company, p95, passages
from tests.service.engines.vllm.serving import ENGINE_ARGS, require_vllm, series, vllm_server

pytestmark = pytest.mark.timeout(500)

CALLS = 100  # beside the large call
IDLE_CALLS = 60


@pytest.fixture(scope="module")
def tiny(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    require_vllm()
    folder = tmp_path_factory.mktemp("tiny")
    model = write_shape(folder / "model", TINY, embedded_checkpoint.folder / "tokenizer.json")
    args = json.dumps(ENGINE_ARGS | {"load_format": "dummy"})
    with vllm_server(folder, "--model", str(model), "--vllm-args", args) as running:
        yield running


@pytest.mark.parametrize("mode", ["direct", "reasoning"])
def test_small_calls_stay_quick_beside_a_call_of_a_thousand_documents(tiny: ServerProcess, mode: str) -> None:
    small = [passages(10, seed) for seed in range(IDLE_CALLS + CALLS)]
    with httpx.Client(base_url=tiny.url, timeout=120) as client:
        idle = [call(client, mode, documents, seed) for seed, documents in enumerate(small[:IDLE_CALLS])]
        stop = threading.Event()
        large = threading.Thread(target=thousands, args=(tiny.url, mode, stop))
        large.start()
        try:
            _wait_until_full(tiny)
            loaded = [call(client, mode, documents, n) for n, documents in enumerate(small[IDLE_CALLS:], IDLE_CALLS)]
        finally:
            stop.set()
            large.join(120)
    print(f"{mode}: p95 idle {p95(idle):.3f} s, beside 1000 documents {p95(loaded):.3f} s")
    assert p95(loaded) <= 3 * p95(idle)


def test_small_calls_beside_many_medium_ones(tiny: ServerProcess) -> None:
    assert cost_in_company(tiny, Crowd(tiny.url, "direct", callers=8, documents=200), calls=40) <= 3


def thousands(url: str, mode: str, stop: threading.Event) -> None:
    documents = passages(1000, 99)
    with httpx.Client(base_url=url, timeout=120) as client:
        seed = 10_000
        while not stop.is_set():
            call(client, mode, documents, seed)
            seed += 1


def _wait_until_full(running: ServerProcess) -> None:
    """Until the engine holds all that it is to hold, in documents or in tokens, and others of the large call wait."""
    deadline = time.monotonic() + 20
    names = ("limrank_running_documents", "limrank_queued_documents")
    while not all(series(running, *names).values()):
        assert time.monotonic() < deadline, "the large call never filled the engine"
        time.sleep(0.01)
