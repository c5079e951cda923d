"""Everything found, by kind: the programs are asked side by side, each in one process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.interface.commands import command_pins
from tests.interface.evaluation_files import evaluation_pins
from tests.interface.live_service import service_pins
from tests.interface.names import benchmark_pins, config_pins, model_pins, project_pins
from tests.interface.programs import Program
from tests.interface.source import source_pins
from tests.interface.synth_files import synth_pins
from tests.interface.training_files import training_pins

Pins = dict[str, set[str]]


def collect(folder: Path) -> dict[str, list[str]]:
    """Each kind's pins, sorted. Files are written below `folder`; takes about 45 seconds of processor time."""
    askings: list[Callable[[Path], Pins]] = [_train, _serve, _synth, _evaluate, _read]
    found: Pins = {}
    with ThreadPoolExecutor(len(askings)) as pool:
        for pins in pool.map(lambda asking: asking(folder), askings):
            for kind, names in pins.items():
                found.setdefault(kind, set()).update(names)
    return {kind: sorted(names) for kind, names in sorted(found.items())}


def _train(folder: Path) -> Pins:
    with Program("limrank-train") as train:
        return command_pins(train) | config_pins(train) | training_pins(train, folder / "train")


def _serve(folder: Path) -> Pins:
    with Program("limrank-serve") as serve:
        pins = command_pins(serve) | model_pins(serve)
    (folder / "service").mkdir()
    return pins | service_pins(folder / "service")


def _synth(folder: Path) -> Pins:
    with Program("limrank-synth") as synth:
        return command_pins(synth) | synth_pins(synth, folder / "synth")


def _evaluate(folder: Path) -> Pins:
    with Program("limrank-eval") as evaluate:
        return command_pins(evaluate) | benchmark_pins(evaluate) | evaluation_pins(evaluate, folder / "eval")


def _read(folder: Path) -> Pins:
    return project_pins() | source_pins()
