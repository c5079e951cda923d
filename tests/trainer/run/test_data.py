"""What training on records and training on groups read of their files alike."""

from __future__ import annotations

from trainer.run.data import licences


def test_licences_of_all_examples_each_once() -> None:
    assert licences(["CC-BY-4.0 AND MIT", "MIT", "CC0-1.0"]) == ("CC-BY-4.0", "CC0-1.0", "MIT")
