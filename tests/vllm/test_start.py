"""What cannot start says so in one sentence and exits 2; vLLM's arguments are checked before anything is loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.checkpoint import Checkpoint, ModelStoreError
from service.vllm_options import checked_extra
from tests.ports import free_port
from tests.processes import ROOT, clean_environment
from tests.vllm.serving import ENGINE_ARGS, ENVIRONMENT, require_vllm

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


def test_auto_is_vllm_where_a_gpu_is_visible_and_its_arguments_are_checked() -> None:
    require_vllm()
    said = refusal("--vllm-args", '{"enforce_eagr": true}', program=("-c", SEE_A_GPU))
    assert "'enforce_eagr', which this version of vLLM does not know" in said
    assert "did you mean 'enforce_eager'" in said


def test_an_argument_that_has_a_flag_or_that_the_engine_relies_on() -> None:
    with pytest.raises(ModelStoreError, match="say it with --max-num-seqs"):
        checked_extra({"max_num_seqs": 3}, ["max_num_seqs"])
    with pytest.raises(ModelStoreError, match="relies on"):
        checked_extra({"scheduling_policy": "fcfs"}, ["scheduling_policy"])
    assert checked_extra({"enforce_eager": True}, ["enforce_eager"]) == {"enforce_eager": True}


def test_a_model_of_another_architecture(embedded_checkpoint: Checkpoint, tmp_path: Path) -> None:
    require_vllm()
    folder = tmp_path / "strange"
    shutil.copytree(embedded_checkpoint.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["StrangeForCausalLM"]}))
    said = refusal("--model", str(folder))
    assert "vLLM cannot serve strange" in said
    assert "StrangeForCausalLM" in said


def test_code_that_comes_with_a_model_is_not_run_unasked(embedded_checkpoint: Checkpoint, tmp_path: Path) -> None:
    require_vllm()
    folder, ran = tmp_path / "own", tmp_path / "ran"
    shutil.copytree(embedded_checkpoint.folder, folder)
    for name in ("configuration", "modeling"):
        (folder / f"{name}_own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    own_config = config | {"model_type": "own", "architectures": ["Own"], "auto_map": own}
    (folder / "config.json").write_text(json.dumps(own_config))
    said = refusal("--model", str(folder))
    assert "custom code" in said
    assert "trust_remote_code" in said
    assert not ran.exists()


def test_too_little_memory(embedded_checkpoint: Checkpoint) -> None:
    require_vllm()
    args = json.dumps(ENGINE_ARGS)
    said = refusal("--dtype", "float32", "--vllm-args", args, VLLM_CPU_KVCACHE_SPACE="4000")
    assert "memory" in said
    assert "lower --max-model-len" in said
