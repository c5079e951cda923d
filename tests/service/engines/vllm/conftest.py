"""Three vLLMs for all tests of a session: one takes half a minute to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.shapes import TINY, write_shape
from contract.segments import Segments
from service.models.checkpoint import Checkpoint
from tests.processes import ServerProcess
from tests.service.engines.plain_forward import PlainForward, segments_of
from tests.service.engines.vllm.engine_process import EngineProcess
from tests.service.engines.vllm.serving import ADAPTER, STUCK_SECONDS, Shared, require_vllm, vllm_server
from trainer.cli import run


@pytest.fixture(scope="session")
def shared_running(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    flags = ("--model", str(small_checkpoint.folder), "--drain-budget", "3600", "--stuck-after", "3600")
    shared = Shared(lambda: vllm_server(tmp_path_factory.mktemp("vllm"), *flags, tapped=True, scripted=True))
    yield shared
    shared.close()


@pytest.fixture
def running(shared_running: Shared) -> ServerProcess:
    """A small model that writes scripts and whose engine can be given prompts."""
    require_vllm()
    return shared_running.get()


@pytest.fixture
def engine(running: ServerProcess) -> EngineProcess:
    """Its engine."""
    return EngineProcess(running)


@pytest.fixture(scope="session")
def tiny_model(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small layers without weights, with the embedded model's tokenizer: for what its size and answers prove
    nothing of."""
    return write_shape(tmp_path_factory.mktemp("tiny") / "model", TINY, embedded_checkpoint.folder / "tokenizer.json")


@pytest.fixture(scope="session")
def shared_tiny(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    flags = ("--model", str(tiny_model), "--stuck-after", "3600")
    shared = Shared(lambda: vllm_server(tmp_path_factory.mktemp("vllm"), *flags, dummy=True))
    yield shared
    shared.close()


@pytest.fixture
def tiny(shared_tiny: Shared) -> ServerProcess:
    require_vllm()
    return shared_tiny.get()


@pytest.fixture(scope="session")
def merged_model(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """limrank-mini, merged from the embedded model's base and its adapter by `limrank-train merge`."""
    out = tmp_path_factory.mktemp("merged") / "model"
    words = ["--base", str(embedded_checkpoint.folder), "--adapter", str(ADAPTER), "--out", str(out)]
    assert run(["merge", *words, "--dtype", "float32"]) == 0
    return out


@pytest.fixture(scope="session")
def shared_merged(merged_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    flags = ("--model", str(merged_model), "--stuck-after", str(STUCK_SECONDS))
    shared = Shared(lambda: vllm_server(tmp_path_factory.mktemp("vllm"), *flags, scripted=True))
    yield shared
    shared.close()


@pytest.fixture
def merged(shared_merged: Shared) -> ServerProcess:
    """One that writes scripts too, and counts as stuck after some seconds."""
    require_vllm()
    return shared_merged.get()


@pytest.fixture(scope="session")
def segments(small_checkpoint: Checkpoint) -> Segments:
    return segments_of(small_checkpoint.folder)


@pytest.fixture(scope="session")
def plain(small_checkpoint: Checkpoint, segments: Segments) -> PlainForward:
    return PlainForward(small_checkpoint.folder, segments)
