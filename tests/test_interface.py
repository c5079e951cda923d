"""What a user touches stays: the list in tests/data/interface.json may grow, and nothing on it may vanish.

`python -m tests.interface` adds what is new. A change that is meant is entered below, with its reason; the list itself
keeps the old name.
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
# in one sentence (exit code 2). Commands and flags that begin with the old one may be gone.
RENAMED: dict[str, tuple[str, str]] = {
    "limrank-eval mini": ("--data DATA --out OUT", "python -m recipes.limrank_mini table"),
    "limrank-eval traces": ("--data DATA --out OUT --mode reasoning", "python -m recipes.limrank_mini traces"),
    "limrank-synth import medquad": ("DATA RECORDS --groups-out GROUPS", "python -m recipes.limrank_mini import"),
    **{
        f"limrank-train {command} --config limrank-mini-{run}": (
            "--folder RUN",
            f"recipes/limrank_mini/configs/limrank-mini-{run}.yaml",
        )
        for command, run in [("sft", run) for run in ("traces", "both", "more", "own", "near")]
        + [("cross-encoder", "ce")]
    },
}

# Names that may be gone, by kind: how they begin -> why.
_TABLE = "of `python -m recipes.limrank_mini table`, which still reads it"
_IMPORT = "of `python -m recipes.limrank_mini import`, which still reads it"
ALLOWED: dict[str, dict[str, str]] = {
    "training configs": {"limrank-mini-": "belong to the recipe, see RENAMED"},
    "flags": {
        "limrank-synth import --excluded": _IMPORT,
        "limrank-synth import --groups-out": _IMPORT,
        "limrank-synth import --medquad-": _IMPORT,
    },
    "environment": {
        "limrank-synth LIMRANK_SYNTH_GROUPS_OUT": _IMPORT,
        "limrank-synth LIMRANK_SYNTH_MEDQUAD_": _IMPORT,
        **{
            f"limrank-eval LIMRANK_TRAIN_EVAL_{name}": _TABLE
            for name in (
                "CROSS_ENCODER_MAX_TOKENS_PER_DOC",
                "CROSS_ENCODER_MODEL",
                "CROSS_ENCODER_QUERIES",
                "DIRECT_QUERIES",
                "DL19_QUERIES",
                "INJECTIONS",
                "ONLY",
                "REASONING_QUERIES",
                "TRACE_PAIRS",
            )
        },
    },
}


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
