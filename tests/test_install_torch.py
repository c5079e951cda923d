"""Which build of torch is installed where: the commands chosen, and what runs, with tools that only take notes."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.processes import ROOT
from tests.waiting import PATIENCE

SCRIPT = ROOT / "requirements" / "install_torch.py"
TORCH = "torch==2.13.0"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_torch", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


script = _script()
PIP = f".venv/bin/pip --disable-pip-version-check --quiet install {TORCH}"
BRING_UV = f".venv/bin/pip --disable-pip-version-check --quiet install --no-deps --require-hashes -r {script.UV_LOCK}"
UV = "{} pip install --python .venv/bin/python --torch-backend=auto " + TORCH


def machine(**known: object) -> object:
    return script.Machine(**{"linux": True, "gpu": False, "pip_sources": (), "uv": None, **known})


def commands(of: object, **environment: str) -> list[list[str]]:
    """The command lines of each attempt."""
    plan = script.attempts(of, Path(".venv"), environment)
    return [[" ".join(command) for command in attempt.commands] for attempt in plan]


def test_a_gpu_gets_the_cuda_build() -> None:
    assert commands(machine(gpu=True)) == [[PIP]]
    assert commands(machine(gpu=True, uv="/usr/bin/uv")) == [[UV.format("/usr/bin/uv")], [PIP]]


def test_no_gpu_gets_the_build_for_cpus() -> None:
    assert commands(machine(uv="/usr/bin/uv")) == [[UV.format("/usr/bin/uv")], [PIP]]


def test_without_uv_it_is_installed_into_the_environment() -> None:
    assert commands(machine()) == [[BRING_UV, UV.format(".venv/bin/uv")], [PIP]]


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("uv", [None, "/usr/bin/uv"])
@pytest.mark.parametrize("source", ["index-url", "extra-index-url", "find-links", "no-index"])
def test_settings_of_pip_win(source: str, uv: str | None, gpu: bool) -> None:
    assert commands(machine(pip_sources=(source,), uv=uv, gpu=gpu)) == [[PIP]]


def test_another_system_gets_what_the_index_has() -> None:
    assert commands(machine(linux=False)) == [[PIP]]


def test_a_backend_that_uv_was_told_stands() -> None:
    [[command], _] = commands(machine(uv="/usr/bin/uv"), UV_TORCH_BACKEND="cu128")
    assert "--torch-backend" not in command


def test_what_is_chosen_is_said_with_its_size() -> None:
    for known in ({}, {"uv": "uv"}, {"gpu": True}, {"gpu": True, "uv": "uv"}):
        for attempt in script.attempts(machine(**known), Path(".venv"), {}):
            assert re.search(r"\d+ MB|gigabytes", attempt.sentence), attempt.sentence
    assert "find-links" in script.attempts(machine(pip_sources=("find-links",)), Path(".venv"), {})[0].sentence


def test_no_address_of_an_index_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    named = [
        name
        for name in listed.stdout.split()
        if (ROOT / name).suffix in ("", ".py", ".md", ".toml", ".lock", ".in", ".sh", ".mk", ".yaml", ".cfg")
        if re.search(
            r"download[.]pytorch|pypi[.]org/simple|files[.]pythonhosted", (ROOT / name).read_text("utf-8", "replace")
        )
    ]
    assert named == []


@pytest.mark.parametrize(
    ("listed", "sources"),
    [
        ("", ()),
        ("global.cert='/etc/x.crt'\n:env:.timeout='9'\n", ()),
        (":env:.find-links='/opt/wheels'\n", ("find-links",)),
        ("global.extra-index-url='a b'\nuser.index-url='c'\n", ("index-url", "extra-index-url")),
        ("install.no-index='true'\nglobal.find-links=''\n", ("no-index",)),
    ],
)
def test_pips_settings_are_read_wherever_they_stand(listed: str, sources: tuple[str, ...]) -> None:
    assert script.pip_sources(listed) == sources


def test_pips_own_listing_is_understood(tmp_path: Path) -> None:
    """The real pip, without settings and with one in the environment."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    bare = {**known, "PIP_CONFIG_FILE": os.devnull}
    venv = Path(sys.prefix)
    assert script.this_machine(venv, bare).pip_sources == ()
    assert script.this_machine(venv, {**bare, "PIP_FIND_LINKS": str(tmp_path)}).pip_sources == ("find-links",)
    assert script.this_machine(venv, {**bare, "PIP_EXTRA_INDEX_URL": "x"}).pip_sources == ("extra-index-url",)


def tool(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", f'echo "{name} $*" >> "$NOTES"', *lines]) + "\n")
    path.chmod(0o755)


def test_a_driver_or_its_tool_tells_of_a_gpu(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "NOTES": str(tmp_path / "notes")}
    nowhere = tmp_path / "nowhere"
    assert not script.has_gpu(environment, nowhere)
    tool(tmp_path, "nvidia-smi", "echo 'No devices were found'; exit 6")
    assert not script.has_gpu(environment, nowhere)
    tool(tmp_path, "nvidia-smi", "echo 'GPU 0: NVIDIA H200 (UUID: x)'")
    assert script.has_gpu(environment, nowhere)
    (tmp_path / "version").touch()
    assert script.has_gpu({"PATH": ""}, tmp_path / "version")


@pytest.mark.parametrize("broken", ["uv", "pip", "both", None])
def test_an_index_that_cannot_be_reached_is_not_the_end(
    broken: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """uv fails as it does without a network; pip then gets what it can."""
    binaries = tmp_path / "venv" / "bin"
    binaries.mkdir(parents=True)
    fails = "echo 'error: client error (Connect)' >&2; exit 2"
    tool(binaries, "uv", *([fails] if broken in ("uv", "both") else []))
    tool(binaries, "pip", *([fails] if broken in ("pip", "both") else []))
    environment = {"PATH": os.environ["PATH"], "NOTES": str(tmp_path / "notes")}
    plan = script.attempts(machine(), tmp_path / "venv", environment)
    assert (script.install(plan, environment) == 0) is (broken in ("uv", None))
    ran = [line.split()[0] for line in (tmp_path / "notes").read_text().splitlines()]
    assert (
        ran == {"uv": ["pip", "uv", "pip"], "pip": ["pip", "pip"], "both": ["pip", "pip"], None: ["pip", "uv"]}[broken]
    )
    said = capfd.readouterr().out
    assert ("that failed" in said) is (broken is not None)
    assert "no NVIDIA GPU is here, so the build for CPUs" in said


def test_the_makefile_asks_the_script_and_says_what_it_would_do() -> None:
    assert "requirements/install_torch.py $(VENV)" in (ROOT / "Makefile").read_text()
    command = [sys.executable, str(SCRIPT), sys.prefix, "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.startswith("torch: ")
    assert TORCH in done.stdout


def test_what_is_installed_is_measured() -> None:
    version, size = script.installed(Path(sys.prefix))
    assert version.startswith("2.13.0")
    assert size > 100e6
