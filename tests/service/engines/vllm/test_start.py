"""What cannot start says so in one sentence and exits 2; vLLM's arguments are checked before anything is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.shapes import TINY, write_shape
from service.engines.vllm.startup import checked_extra
from service.errors import EngineOptionError
from service.models.checkpoint import Checkpoint
from tests.ports import free_port
from tests.processes import ROOT, clean_environment
from tests.service.engines.vllm.serving import ENGINE_ARGS, ENVIRONMENT, require_vllm

pytestmark = pytest.mark.timeout(400)


SERVE = ("-m", "service.main", "--engine", "vllm")
# What torch says on a machine with a GPU, and nothing else of one.
SEE_A_GPU = "import torch; torch.cuda.is_available = lambda: True; from service.main import main; main()"


def refusal(*arguments: str, program: tuple[str, ...] = SERVE, **environment: str) -> str:
    """The one sentence of a server that does not start."""
    command = [sys.executable, *program, "--port", str(free_port()), *arguments]
    surroundings = clean_environment(**(ENVIRONMENT | environment))
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr[-4000:]
    said = [line for line in done.stderr.splitlines() if line.startswith("limrank-serve: ")]
    assert len(said) == 1, done.stderr[-4000:]
    return said[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def begun(embedded_checkpoint: Checkpoint, folder: Path) -> Iterator[dict[str, Future[str]]]:
    """All starts that must fail, side by side: each imports vLLM, which takes ten seconds."""
    require_vllm()
    tokenizer = embedded_checkpoint.folder / "tokenizer.json"
    strange, own, tiny = (write_shape(folder / name, TINY, tokenizer) for name in ("strange", "own", "tiny"))
    _change(strange, architectures=["StrangeForCausalLM"])
    for name in ("configuration", "modeling"):
        (own / f"{name}_own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Own: pass\n")
    classes = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    _change(own, model_type="own", architectures=["Own"], auto_map=classes)
    flags = ("--dtype", "float32", "--vllm-args", json.dumps(ENGINE_ARGS | {"load_format": "dummy"}))
    with ThreadPoolExecutor(4) as pool:
        yield {
            "auto": pool.submit(refusal, "--vllm-args", '{"enforce_eagr": true}', program=("-c", SEE_A_GPU)),
            "strange": pool.submit(refusal, "--model", str(strange)),
            "own": pool.submit(refusal, "--model", str(own)),
            "memory": pool.submit(partial(refusal, "--model", str(tiny), *flags, VLLM_CPU_KVCACHE_SPACE="4000")),
        }


def _change(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def test_auto_is_vllm_where_a_gpu_is_visible_and_its_arguments_are_checked(begun: dict[str, Future[str]]) -> None:
    said = begun["auto"].result()
    assert "'enforce_eagr', which this version of vLLM does not know" in said
    assert "did you mean 'enforce_eager'" in said


def test_an_argument_that_has_a_flag_or_that_the_engine_relies_on() -> None:
    with pytest.raises(EngineOptionError, match="say it with --max-num-seqs"):
        checked_extra({"max_num_seqs": 3}, ["max_num_seqs"])
    with pytest.raises(EngineOptionError, match="relies on"):
        checked_extra({"scheduling_policy": "fcfs"}, ["scheduling_policy"])
    assert checked_extra({"enforce_eager": True}, ["enforce_eager"]) == {"enforce_eager": True}


def test_a_model_of_another_architecture(begun: dict[str, Future[str]]) -> None:
    said = begun["strange"].result()
    assert "vLLM cannot serve strange" in said
    assert "StrangeForCausalLM" in said


def test_code_that_comes_with_a_model_is_not_run_unasked(begun: dict[str, Future[str]], folder: Path) -> None:
    said = begun["own"].result()
    assert "custom code" in said
    assert "trust_remote_code" in said
    assert not (folder / "ran").exists()


def test_too_little_memory(begun: dict[str, Future[str]]) -> None:
    said = begun["memory"].result()
    assert "memory" in said
    assert "lower --max-model-len" in said
