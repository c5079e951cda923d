"""docs/comparison.md: every cell says what was looked at and when, and our column names what there is."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

from service.api.app import create_app
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.processes import ROOT

PAGE = ROOT / "docs" / "comparison.md"
ROWS = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
HEAD, BODY = ROWS[0], ROWS[1:]
CHECKED = re.compile(r".+<br><sub>(\d+(?:\.\d+)+), (\d{4}-\d\d-\d\d)</sub>")
FOR_COMMANDS = {"limrank batch"}


def test_every_cell_has_the_version_and_the_day_it_was_checked() -> None:
    assert HEAD == ["this service", "TEI", "vLLM", "Infinity", "Cohere"]
    assert len(BODY) >= 12
    versions: list[set[str]] = [set() for _ in HEAD]
    for name, *cells in BODY:
        assert len(cells) == len(HEAD), name
        for cell, seen in zip(cells, versions, strict=True):
            found = CHECKED.fullmatch(cell)
            assert found is not None, (name, cell)
            assert date.fromisoformat(found[2]).year >= 2026
            seen.add(found[1])
    assert all(len(seen) == 1 for seen in versions), versions


def test_what_our_column_names_is_there() -> None:
    schema = json.dumps(create_app(Settings(), ScriptedEngine()).app.openapi())
    named = {word for _, ours, *_ in BODY for word in re.findall(r"`([^`]+)`", ours)} - FOR_COMMANDS
    assert len(named) > 12
    for word in sorted(named):
        if word.startswith("--"):
            assert word[2:].replace("-", "_") in Settings.model_fields, word
        else:
            assert f'"{word}"' in schema, word


def test_its_links_lead_somewhere() -> None:
    for name, _, anchor in re.findall(r"\]\(([\w-]+\.md)(#([\w-]+))?\)", PAGE.read_text()):
        page = Path(PAGE.parent / name)
        assert page.exists(), name
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, (name, anchor)
