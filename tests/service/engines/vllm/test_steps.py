"""How far vLLM is with its start, by its own log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from service.engines.vllm.steps import STEPS, StepFile, step_now
from tests.service.engines.vllm.serving import require_vllm


@pytest.fixture
def process() -> Iterator[Callable[[Path], logging.Logger]]:
    """Makes the logger of one of vLLM's processes, which all write to the same file."""
    handlers: list[StepFile] = []

    def made(file: Path) -> logging.Logger:
        handlers.append(StepFile(str(file)))
        logger = logging.Logger("vllm")
        logger.addHandler(handlers[-1])
        return logger

    yield made
    for handler in handlers:
        handler.close()


def test_the_step_is_that_of_the_furthest_process(tmp_path: Path, process: Callable[[Path], logging.Logger]) -> None:
    file = tmp_path / "steps"
    assert step_now(file) == "1 of 4: starting its processes"
    first, second = process(file), process(file)
    first.info("Initializing a V1 LLM engine (v%s) with config: %s", "0", "a path of the user")
    assert not file.exists(), "what begins no step is not kept"
    first.info("Starting to load model %s...", "a path of the user")
    assert step_now(file) == "2 of 4: loading the weights"
    first.info("Model loading took %s GiB memory and %.6f seconds", "1", 2.0)
    second.info("Starting to load model %s...", "a path of the user")
    assert step_now(file) == "3 of 4: measuring memory and compiling"
    first.info("%s KV cache size: %s tokens, %s", "GPU", "1", "")
    assert step_now(file) == "4 of 4: warming up"
    assert "user" not in file.read_text()


def test_no_file_and_half_a_line_are_no_faults(tmp_path: Path, process: Callable[[Path], logging.Logger]) -> None:
    """The folder goes when vLLM has started; a user's own configuration of the log writes none."""
    assert step_now(Path("/dev/null")) == "1 of 4: starting its processes"
    (tmp_path / "steps").write_text("1\nx")
    assert step_now(tmp_path / "steps") == "1 of 4: starting its processes"
    process(tmp_path / "gone" / "steps").info("Starting to load model %s...", "m")


def test_the_installed_vllm_says_what_the_steps_are_told_by() -> None:
    require_vllm()
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "v1"
    sources = [*folder.glob("worker/**/*.py"), folder / "core" / "kv_cache_utils.py"]
    text = "\n".join(path.read_text() for path in sources)
    for signs, name in STEPS[1:]:
        assert any(sign in text for sign in signs), name
