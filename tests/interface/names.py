"""Names that a user types: training configs, benchmarks, embedded models, extras, make targets, modules."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

from tests.interface.programs import PROJECT, ROOT, SCRIPTS, Program, clean_environment

Pins = dict[str, set[str]]

# What is run as `python -m` where a console script will not do (docs/trainer.md: torchrun).
MODULES = ("trainer.train",)


def project_pins() -> Pins:
    """What pyproject.toml and the Makefile offer."""
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in said.splitlines() if re.match(r"[a-z][a-z0-9-]* ", line)}
    return {
        "console scripts": set(SCRIPTS),
        "extras": set(PROJECT["project"]["optional-dependencies"]),
        "make targets": targets,
        "modules": {name for name in MODULES if _answers(name)},
    }


def _answers(module: str) -> bool:
    command = [sys.executable, "-m", module, "--help"]
    said = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    return said.returncode == 0 and said.stdout.startswith("usage: ")


def model_pins(serve: Program) -> Pins:
    """The models that come with the service."""
    said = serve.call("--model", "nosuch").err
    found = re.search(r"embedded model \(([^)]*)\)", said)
    return {"embedded models": set(found[1].split(", ") if found else [])}


def config_pins(train: Program) -> Pins:
    """The names that --config takes. One that has moved answers with a sentence that no shipped name gets."""
    said = train.call("sft", "--config", "nosuch").err
    found = re.search(r"name one of (.*), or a YAML file", said)
    names = found[1].split(", ") if found else []
    return {"training configs": {name for name in names if "'data' is not given" in _unfinished(train, name)}}


def _unfinished(train: Program, config: str) -> str:
    """What both trainings say to a config and nothing else."""
    return train.call("sft", "--config", config).err + train.call("cross-encoder", "--config", config).err


def benchmark_pins(evaluate: Program) -> Pins:
    """The benchmarks with their tasks."""
    return {"benchmarks": set(_benchmarks(evaluate.succeed("benchmarks")))}


def _benchmarks(listed: str) -> Iterator[str]:
    name = ""
    for line in listed.splitlines():
        if not line.startswith(" "):
            name = line.partition(":")[0]
            yield name
        elif line.strip().startswith("tasks:"):
            yield from (f"{name} {task}" for task in line.partition(":")[2].replace(",", " ").split())
