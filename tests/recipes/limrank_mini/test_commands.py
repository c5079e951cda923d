"""`python -m recipes.limrank_mini`: its commands and the answers to the names that they had before."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import evaluation.cli
import synth.cli
import trainer.cli
from cli.moved import MOVED, moved
from cli.settings import read_command
from recipes.limrank_mini.__main__ import COMMANDS, main
from tests.processes import ROOT, clean_environment
from trainer.settings import PROGRAM, CrossEncoding, Sft

CONFIGS = ROOT / "recipes" / "limrank_mini" / "configs"


def test_the_package_is_a_program() -> None:
    command = [sys.executable, "-m", "recipes.limrank_mini", "--help"]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m recipes.limrank_mini COMMAND")
    assert all(f"\n  {name} " in done.stdout for name in ("import", "traces", "table", "minilm"))


def test_the_wheel_holds_no_recipe() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "recipes" not in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([name, "--help"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    assert code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m recipes.limrank_mini {name}")


def test_bad_commands_and_settings_are_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([]) == main(["mini"]) == 2
    capsys.readouterr()
    assert main(["import", "folder"]) == 2
    assert "`python -m recipes.limrank_mini import --help` lists all" in capsys.readouterr().err
    assert main(["table", "--data", "d"]) == 2
    assert (
        capsys.readouterr().err == "python -m recipes.limrank_mini table: 'out' is not given, and it has no default.\n"
    )
    assert main(["minilm", "more"]) == 2
    capsys.readouterr()
    monkeypatch.setenv("LIMRANK_TRAIN_EVAL_SPLTI", "test")
    assert main(["traces", "--data", "d", "--out", "o", "--bm25"]) == 2
    assert "LIMRANK_TRAIN_EVAL_SPLTI is no setting" in capsys.readouterr().err


def test_the_environment_of_the_programs_is_that_of_the_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMRANK_SYNTH_GROUPS_OUT", "groups.jsonl")
    monkeypatch.setenv("LIMRANK_SYNTH_MEDQUAD_RECORDS__DIRECT_SHARE", "2")
    assert main(["import", "folder", "out.jsonl"]) == 2
    assert "'medquad_records.direct_share' is '2'" in capsys.readouterr().err


def test_minilm_is_where_its_package_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minilm"]) == 0
    assert (Path(capsys.readouterr().out.strip()) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("program", "words", "new"),
    [
        (synth.cli.main, "import medquad folder out --groups-out g", "python -m recipes.limrank_mini import"),
        (synth.cli.main, "import --groups-out g medquad folder out", "python -m recipes.limrank_mini import"),
        (evaluation.cli.main, "traces --data d --out o --bm25", "python -m recipes.limrank_mini traces"),
        (evaluation.cli.main, "mini --help", "python -m recipes.limrank_mini table"),
        *(
            (trainer.cli.run, f"{command} limrank-mini-{run}", f"recipes/limrank_mini/configs/limrank-mini-{run}.yaml")
            for command, runs in (
                ("sft --config", ("traces", "both", "more", "own", "near")),
                ("cross-encoder --config", ("ce",)),
                ("ablate volume --config", ("ce",)),
            )
            for run in runs
        ),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(
    program: Callable[[list[str]], int], words: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(words.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"limrank-\w+: `[^`]+` is now `[^`]+`, run from the root of the repository\.\n", said.err)
    assert new in said.err


def test_what_did_not_move_is_not_taken_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ("rank1", "beir")
    assert moved("limrank-synth", ["import", "beir", "medquad", "out.jsonl"], kinds) is None
    assert moved("limrank-synth", ["import", "--source", "medquad", "beir", "folder", "out.jsonl"], kinds) is None
    assert moved("limrank-synth", ["import", "medquad", "beir", "out.jsonl"], kinds) is not None
    assert moved("limrank-eval", ["run", "traces"]) is None
    assert moved("limrank-train", ["sft"]) is None
    assert trainer.cli.run(["sft", "--config", "limrank-paper"]) == 2
    assert "is now" not in capsys.readouterr().err


def test_what_a_moved_name_is_answered_with_exists() -> None:
    for new in MOVED.values():
        last = new.split()[-1]
        assert (ROOT / last).is_file() if "/" in last else last in COMMANDS


@pytest.mark.parametrize("config", sorted(path.name for path in CONFIGS.iterdir()))
def test_every_config_is_read_by_its_path(config: str) -> None:
    kind = CrossEncoding if config.startswith("limrank-mini-ce") else Sft
    words = ["--config", str(CONFIGS / config), "--data", "d", "--base", "b", "--folder", "f", "--adapter", "a"]
    settings = read_command(kind, PROGRAM, "", words[: 8 if kind is CrossEncoding else 10], [kind])
    written = yaml.safe_load((CONFIGS / config).read_text(encoding="utf-8"))
    assert {name: getattr(settings, name) for name in written} == written


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_make_still_trains_and_measures(tmp_path: Path) -> None:
    """What each target would run, with the variables that it takes, and nothing of the service imported on the way."""

    def run(target: str, *variables: str) -> str:
        command = ["make", "-n", target, f"DATA={tmp_path}", f"RUNS={tmp_path}/runs", *variables]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "from service" not in done.stdout
        return done.stdout

    flags = ("PROCESSES=2", "TRAIN=--device-batch 4", "WEIGHTS=w", "FIT=50", "OWN=9")
    said = run("train-mini", "MINI_RECIPE=medquad", "LEG=2", "NEAR=7", *flags)
    assert (
        f"python -m recipes.limrank_mini import {tmp_path}/medquad {tmp_path}/runs/records.jsonl --groups-out" in said
    )
    assert f"python -m service.models.export smollm2-135m-instruct {tmp_path}/runs/base" in said
    trained = re.findall(r"--config (\S+)", said)
    assert [Path(config).stem for config in trained] == [
        f"limrank-mini-{run}" for run in ("traces", "both", "more", "own", "near")
    ]
    assert all((ROOT / config).is_file() for config in trained)
    assert said.count("--nproc-per-node=2 --shutdown-timeout=1800 -m trainer.train sft") == 5
    assert said.count("--device-batch 4") == 5
    assert said.count("--leg 2") == 1
    for part in ("--fit-pairs 50", "--sample 9", "--queries 7 --passages 7", "--weights w --name limrank-mini\n"):
        assert part in said
    said = run("train-mini-ce", "MINI_CE_RECIPE=medquad", "LEG=3")
    assert '--base "$(.venv/bin/python -m recipes.limrank_mini minilm)"' in said
    assert "--leg 3 --config recipes/limrank_mini/configs/limrank-mini-ce.yaml" in said
    assert "package" not in said
    general = f"GENERAL={tmp_path}/elsewhere"
    said = run("train-mini", "MINI_RECIPE=general", general, "LEG=2", *flags)
    trained = re.findall(r"--config (\S+)", said)
    assert [Path(config).stem for config in trained] == ["limrank-mini-general", "limrank-mini-general-own"]
    assert said.count(f"--dev {tmp_path}/elsewhere --dev-candidates") == said.count("calibration/ids.txt --dev") == 2
    assert f"limrank_mini.evidence {tmp_path}/elsewhere {tmp_path}/runs/evidence.jsonl" in said
    assert f"--benchmark beir --data {tmp_path}/runs/calibration --max-tokens-per-doc 224 --fit-pairs 50" in said
    assert "rm " not in said  # no file that `make` takes for an intermediate one
    said = run("train-mini-ce", "MINI_CE_RECIPE=general", general, "LEG=3", "SCORED=--lists 9")
    assert f"--general {tmp_path}/elsewhere --encoder" in said
    assert "--lists 9" in said
    assert said.count("--leg 3") == 1
    assert "--leg 3 --config recipes/limrank_mini/configs/limrank-mini-ce-general.yaml" in said
    assert f"--base {tmp_path}/runs/mini-ce/model --bi-encoder " in said
    assert "--weights service/weights --name limrank-mini-ce --even-if-worse" in said
    said = run("measure-mini", "OUT=o", "MEASURE=--model x")
    assert f"measure --data {tmp_path} --general {tmp_path}/general --dtype bfloat16 --out o" in said
    said = run("eval-mini", "OUT=o", "EVAL=--only direct")
    assert f"-m recipes.limrank_mini table --data {tmp_path} --out o --only direct" in said
