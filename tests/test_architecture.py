"""The arrows between the packages, proven on every run: import-linter's contracts, and who may import what."""

from __future__ import annotations

import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("contract", "cli", "retrieval", "llm", "service", "synth", "trainer", "evaluation", "app", "recipes")

# A heavy or risky library has one importing module (two where two programs need it).
IMPORTERS = {
    "vllm": {"service.engines.vllm.client"},
    "openai": {"llm.openai"},
    "bm25s": {"retrieval.bm25"},
    "icu4py": {"retrieval.words"},
    "peft": {"service.models.adapter", "trainer.sft.lora"},
    "gguf": {"service.models.gguf"},
    "opentelemetry": {"service.telemetry.tracing"},
    "ray": {"app.batch.on_ray", "cli.ray_cluster"},
}


@functools.cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def test_the_arrows_of_pyproject_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and under TYPE_CHECKING count."""
    imports = {module: graph().find_modules_directly_imported_by(module) for module in graph().modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_contract_needs_the_standard_library_only() -> None:
    imported = {
        module.split(".")[0]
        for importer in graph().modules
        if importer.split(".")[0] == "contract"
        for module in graph().find_modules_directly_imported_by(importer)
    }
    assert imported - {"contract"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("library", sorted(IMPORTERS))
def test_a_heavy_library_has_its_importers_and_no_other(library: str) -> None:
    importers = graph().find_modules_that_directly_import(library) if library in graph().modules else set()
    assert importers <= IMPORTERS[library]


def test_importing_a_module_does_nothing() -> None:
    """No module reads argv, changes the environment or prints when it is imported. torch and peft set variables of
    their own and are imported before the comparison begins; vllm does so too, may be missing, and is left out with its
    importer."""
    code = (
        "import sys, os, importlib, pkgutil, torch, transformers, peft\n"
        "names = [m.name for p in sys.argv[1:] for m in pkgutil.walk_packages([p], p + '.')]\n"
        "environment = dict(os.environ)\n"
        "sys.argv = ['x', '--no-such-flag']\n"
        "for name in names: name == 'service.engines.vllm.client' or importlib.import_module(name)\n"
        "assert dict(os.environ) == environment, 'an import changed the environment'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
