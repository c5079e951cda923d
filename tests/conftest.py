"""What all tests share: the embedded model, converted once and kept between runs."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from bench.shapes import TINY
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from tests.logging_state import logging_restored
from tests.one_tls_context import share_tls_contexts
from tests.small_llama import write_llama

# An example takes as long as the machine takes: a stalled one must not turn a test red.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

# Torch keeps kernels that it compiled without a note of the vector instructions they need: those of an ordinary run do
# not compile in a run that is limited to fewer.
if limited := os.environ.get("ATEN_CPU_CAPABILITY"):
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(gettempdir()) / f"inductor-{os.getuid()}-{limited}"))

_POSITIONS = 8192  # as the embedded model has
_VLLM = "tests/service/engines/vllm/"
_TOGETHER = (_VLLM, "tests/clients/")
# What takes a minute or more comes first, so that what is left at the end is small and all processes end together.
_SLOW = (
    _VLLM,
    "tests/app/test_batch_in_process.py",
    "tests/load/",
    "tests/trainer/test_distributed.py",
    "tests/recipes/limrank_mini/test_table.py",
    "tests/trainer/",
    "tests/test_interface.py",
    "tests/helm/test_live_prometheus.py",
    "tests/clients/",
    "tests/service/test_embedded_service.py",
    "tests/service/hostile/",
    "tests/service/engines/",
    "tests/synth/test_scale.py",
    "tests/synth/",
    "tests/service/wire/test_pruning.py",
)


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist comes without types
    """Tests of a file stay in one process, and those of a folder whose files share a server: two vLLMs at work on the
    same cores stand still for a minute at a time. (xdist's own groups do nothing with this pytest.)"""

    def _split_scope(self, nodeid: str) -> str:
        together = next((folder for folder in _TOGETHER if nodeid.startswith(folder)), None)
        return together or super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported here, torch and the like, is no garbage: each walk through it takes half a second, and a
    training walks several times."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_configure() -> None:
    share_tls_contexts()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first. Of vLLM's, those of one server stand together, and the one that ends it is the last of them:
    so only one runs at a time."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int, bool]:
    slow = next((place for place, name in enumerate(_SLOW) if item.nodeid.startswith(name)), len(_SLOW))
    if not item.nodeid.startswith(_VLLM):
        return slow, 0, False
    fixtures = getattr(item, "fixturenames", ())
    server = next((place for place, name in enumerate(("tiny", "merged", "running"), 1) if name in fixtures), 0)
    return slow, server, item.get_closest_marker("ends_the_server") is not None


@pytest.fixture(scope="module", autouse=True)
def _logging_as_before_the_file() -> Iterator[None]:
    """For fixtures of a file that set up logging."""
    with logging_restored():
        yield


@pytest.fixture(autouse=True)
def _logging_as_before_the_test() -> Iterator[None]:
    with logging_restored():
        yield


@pytest.fixture
def warm_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that a command in this process starts import no libraries: see `tests.evaluation.warm_services`."""
    from tests.evaluation.warm_services import fork_services

    fork_services(monkeypatch)


@pytest.fixture(scope="session")
def small_model(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small layers of random numbers with the embedded model's tokenizer, which the service serves: for tests in
    which the model's size and answers prove nothing."""
    return write_llama(tmp_path_factory.mktemp("small"), TINY, embedded_checkpoint.folder / "tokenizer.json")


@pytest.fixture(scope="session")
def small_checkpoint(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The small model with weights that spread: its answers differ widely from text to text, as a trained one's do."""
    import torch
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("spread") / "model"
    shutil.copytree(small_model, folder)
    torch.manual_seed(2)
    model: Any = LlamaForCausalLM.from_pretrained(folder, max_position_embeddings=_POSITIONS)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.normal_(0.0, 0.3 if "embed" in name else 0.1)
    model.save_pretrained(folder)
    return resolve(str(folder))


@pytest.fixture(scope="session")
def writing_model(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model whose traces end, in a folder of the name `limrank-mini`: see `tests.writing_model`."""
    from tests.writing_model import write_model

    folder = tmp_path_factory.mktemp("writing") / "limrank-mini"
    return write_model(folder, embedded_checkpoint.folder / "tokenizer.json")


@pytest.fixture(scope="session")
def embedded_checkpoint() -> Checkpoint:
    """The embedded model as the service finds it, in $LIMRANK_TEST_CACHE or else in the cache that it uses itself."""
    cache_dir = os.environ.get("LIMRANK_TEST_CACHE")
    return resolve("smollm2-135m-instruct", cache_dir=Path(cache_dir) if cache_dir else None)
