"""One vLLM for all tests of a session: it takes half a minute to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.segments import Segments
from service.models.checkpoint import Checkpoint
from tests.processes import ServerProcess
from tests.service.engines.plain_forward import PlainForward, segments_of
from tests.service.engines.vllm.serving import require_vllm, vllm_server


@pytest.fixture(scope="session")
def running(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    require_vllm()
    with vllm_server(tmp_path_factory.mktemp("vllm"), scripted=True) as server:
        yield server


@pytest.fixture(scope="session")
def segments(embedded_checkpoint: Checkpoint) -> Segments:
    return segments_of(embedded_checkpoint.folder)


@pytest.fixture(scope="session")
def plain(embedded_checkpoint: Checkpoint, segments: Segments) -> PlainForward:
    return PlainForward(embedded_checkpoint.folder, segments)
