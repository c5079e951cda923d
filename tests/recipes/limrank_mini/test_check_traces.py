"""Traces are checked over a real service, whose engine is scripted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.cli import main
from recipes.limrank_mini.__main__ import main as recipe
from tests.evaluation import small_data
from tests.ports import free_port
from tests.processes import ServerProcess, server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("service")
    with server("tests.service.scripted_server", free_port(), folder, "--drain-delay", "0") as running:
        yield running


def flags(**values: object) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def result(folder: Path, name: str) -> dict[str, Any]:
    (path,) = folder.rglob(name)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found | {"folder": path.parent}


def test_traces_share_the_pairs_of_calibration(service: ServerProcess, tmp_path: Path) -> None:
    folder, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    asked = flags(data=folder, out=out, url=service.url, mode="reasoning")
    assert main(["calibrate", *asked, *flags(pairs=20)]) == 0
    before = service.metric("limrank_documents_scored_total")
    assert recipe(["traces", *asked, *flags(pairs=20)]) == 0
    assert service.metric("limrank_documents_scored_total") == before
    found = result(out, "traces.json")
    assert (found["pairs"], found["all_right"]) == (20, 0.0)  # "It answers the question." names nothing
    lines = (found["folder"] / "traces.tsv").read_text().splitlines()
    assert len(lines) == 21
    assert lines[1].endswith('"It answers the question."')
    assert recipe(["traces", *flags(data=folder, out=out, url=service.url)]) == 2  # direct mode writes none
