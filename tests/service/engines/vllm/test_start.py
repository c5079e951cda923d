"""What cannot start says so in one sentence and exits 2; vLLM's arguments are checked before anything is loaded."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.shapes import TINY, write_shape
from service.engines.vllm.startup import checked_extra, with_exact_answers
from service.errors import EngineOptionError
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from tests.ports import free_port
from tests.processes import ROOT, clean_environment
from tests.service.engines.vllm.serving import ENGINE_ARGS, require_vllm
from tests.service.engines.vllm.warm_vllm import ENVIRONMENT, WarmVllm
from tests.service.models.damaged import filled, without
from tests.waiting import PATIENCE


def refusals(starts: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The one sentence of each server that does not start."""
    given = {
        name: {
            "arguments": ["--port", str(free_port()), *start["arguments"]],
            "environment": start.get("environment", {}),
            "gpu": start.get("gpu", False),
        }
        for name, start in starts.items()
    }
    command, pipe = [sys.executable, "-m", "tests.service.engines.vllm.refused_starts"], subprocess.PIPE
    with WarmVllm(
        command, cwd=ROOT, env=clean_environment(**ENVIRONMENT), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        out, errors = process.communicate(json.dumps(given), timeout=PATIENCE)
    assert process.returncode == 0, errors[-4000:]
    found = {}
    for name, (code, err) in json.loads(out).items():
        assert code == 2, err[-4000:]
        said = [line for line in err.splitlines() if line.startswith("limrank-serve: ")]
        assert len(said) == 1, err[-4000:]
        found[name] = said[0]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def damaged(tiny_gguf: Path, folder: Path) -> dict[str, Path]:
    """Folders of a model that vLLM would serve with what it finds in memory, or with what is no number."""
    tiny = resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=folder / "cache").folder
    made = {"missing": without("layers.1.self_attn.k_proj"), "infinite": filled("layers.0.mlp.up_proj", math.inf)}
    for name, damage in made.items():
        damage(Path(shutil.copytree(tiny, folder / name)))
    return {name: folder / name for name in made}


@pytest.fixture(scope="module")
def refused(embedded_checkpoint: Checkpoint, folder: Path, damaged: dict[str, Path]) -> dict[str, str]:
    """What all starts that must fail say."""
    require_vllm()
    tokenizer = embedded_checkpoint.folder / "tokenizer.json"
    strange, own, tiny = (write_shape(folder / name, TINY, tokenizer) for name in ("strange", "own", "tiny"))
    _change(strange, architectures=["StrangeForCausalLM"])
    for name in ("configuration", "modeling"):
        (own / f"{name}_own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Own: pass\n")
    classes = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    _change(own, model_type="own", architectures=["Own"], auto_map=classes)
    flags = ("--dtype", "float32", "--vllm-args", json.dumps(ENGINE_ARGS | {"load_format": "dummy"}))
    vllm = ("--engine", "vllm", "--model")
    return refusals(
        {
            "auto": {"arguments": ("--model", str(tiny), "--vllm-args", '{"enforce_eagr": true}'), "gpu": True},
            "strange": {"arguments": (*vllm, str(strange))},
            "own": {"arguments": (*vllm, str(own))},
            "missing": {"arguments": (*vllm, str(damaged["missing"]))},
            "infinite": {"arguments": (*vllm, str(damaged["infinite"]))},
            "memory": {
                "arguments": (*vllm, str(tiny), *flags),
                "environment": {"VLLM_CPU_KVCACHE_SPACE": "4000"},
            },
        }
    )


def _change(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


def test_auto_is_vllm_where_a_gpu_is_visible_and_its_arguments_are_checked(refused: dict[str, str]) -> None:
    said = refused["auto"]
    assert "'enforce_eagr', which this version of vLLM does not know" in said
    assert "did you mean 'enforce_eager'" in said


def test_an_argument_that_has_a_flag_or_that_the_engine_relies_on() -> None:
    with pytest.raises(EngineOptionError, match="say it with --max-num-seqs"):
        checked_extra({"max_num_seqs": 3}, ["max_num_seqs"])
    with pytest.raises(EngineOptionError, match="relies on"):
        checked_extra({"scheduling_policy": "fcfs"}, ["scheduling_policy"])
    assert checked_extra({"enforce_eager": True}, ["enforce_eager"]) == {"enforce_eager": True}


def test_a_model_of_another_architecture(refused: dict[str, str]) -> None:
    said = refused["strange"]
    assert "vLLM cannot serve strange" in said
    assert "StrangeForCausalLM" in said


def test_code_that_comes_with_a_model_is_not_run_unasked(refused: dict[str, str], folder: Path) -> None:
    said = refused["own"]
    assert "custom code" in said
    assert "trust_remote_code" in said
    assert not (folder / "ran").exists()


def test_weights_that_are_not_whole(refused: dict[str, str]) -> None:
    """vLLM itself takes q, k and v for one weight, and does not miss a third of it."""
    assert "lacks model.layers.1.self_attn.k_proj.weight" in refused["missing"]
    assert "'model.layers.0.mlp.up_proj.weight'" in refused["infinite"]


def test_the_last_layer_is_computed_in_float32_where_vllm_can() -> None:
    assert with_exact_answers({}, quantised=True) == {}
    assert with_exact_answers({"enforce_eager": True}, quantised=False) == {
        "enforce_eager": True,
        "hf_overrides": {"head_dtype": "float32"},
    }
    own = {"hf_overrides": {"head_dtype": "model", "rope_theta": 1.0}}
    assert with_exact_answers(own, quantised=False) == own


def test_too_little_memory(refused: dict[str, str]) -> None:
    said = refused["memory"]
    assert "memory" in said
    assert "lower --max-model-len" in said
