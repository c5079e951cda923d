"""Tools that a machine may lack: their tests are skipped with a sentence, unless LIMRANK_REQUIRE names the tool."""

from __future__ import annotations

import os

import pytest


def require(name: str, *, present: bool, remedy: str) -> None:
    """Skip the test when `name` is not `present`, or fail it when LIMRANK_REQUIRE (names by commas) demands it."""
    if present:
        return
    sentence = f"{name} is not here: {remedy}."
    if name in [part.strip() for part in os.environ.get("LIMRANK_REQUIRE", "").split(",")]:
        pytest.fail(f"{sentence} LIMRANK_REQUIRE demands it.", pytrace=False)
    pytest.skip(sentence)
