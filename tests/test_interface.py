"""What a user touches stays: the list in tests/data/interface.json may grow, and nothing on it may vanish.

`python -m tests.interface > tests/data/interface.json` writes the list anew, for what was added. A change that is meant
is entered below, with its reason; the list itself keeps the old name.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.interface.collecting import collect
from tests.interface.programs import Program

PINNED: dict[str, list[str]] = json.loads((Path(__file__).parent / "data" / "interface.json").read_text("utf-8"))

# Commands that have moved: the old one -> the further words of a usual call, and the new one, which the old one names
# in one sentence (exit code 2). Commands and flags that begin with the old one may be gone. For example:
#   "limrank-eval mini": ("--data DATA --out OUT", "python -m recipes.limrank_mini"),
#   "limrank-synth import medquad": ("DATA RECORDS --groups-out GROUPS", "python -m recipes.limrank_mini"),
#   "limrank-train sft --config limrank-mini-near": ("--folder RUN", "python -m recipes.limrank_mini"),
RENAMED: dict[str, tuple[str, str]] = {}

# Names that may be gone, by kind: how they begin -> why. For example:
#   "training configs": {"limrank-mini-": "belong to the recipe, see RENAMED"},
ALLOWED: dict[str, dict[str, str]] = {}

pytestmark = pytest.mark.timeout(600)  # four programs are asked at once, on machines that may be busy


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return collect(tmp_path_factory.mktemp("interface"))


def may_be_gone(kind: str, name: str) -> bool:
    """Whether a change that is entered above took this name away."""
    beginnings = [*ALLOWED.get(kind, {}), *(RENAMED if kind in ("commands", "flags") else ())]
    return name.startswith(tuple(beginnings))


@pytest.mark.parametrize("kind", sorted(PINNED))
def test_nothing_that_a_user_touches_has_vanished(kind: str, found: dict[str, list[str]]) -> None:
    there = set(found.get(kind, ()))
    vanished = [name for name in PINNED[kind] if name not in there and not may_be_gone(kind, name)]
    assert not vanished, f"{len(vanished)} of the {len(PINNED[kind])} {kind} are gone:\n" + "\n".join(vanished)


def test_every_kind_that_is_collected_is_pinned(found: dict[str, list[str]]) -> None:
    assert set(found) == set(PINNED)


def test_each_change_that_is_allowed_is_about_something_pinned() -> None:
    """An entry whose beginning is misspelt would allow nothing, one that is empty everything."""
    for kind, beginnings in ALLOWED.items():
        for beginning in beginnings:
            assert beginning
            assert any(name.startswith(beginning) for name in PINNED[kind]), f"{kind}: {beginning}"


def test_a_command_that_moved_names_the_new_one_in_one_sentence() -> None:
    for old, (words, new) in RENAMED.items():
        name, *command = shlex.split(f"{old} {words}")
        with Program(name) as program:
            outcome = program.call(*command)
        assert (outcome.code, outcome.out) == (2, ""), old
        assert new in outcome.err, old
        assert len(outcome.err.strip().splitlines()) == 1, old
