"""The plan of the corpus method: the documents that get queries, with the difficulty and the examples of each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.records import Difficulty
from synth.errors import BadInput
from synth.methods.corpus.documents import DocumentStore, build_documents
from synth.methods.corpus.inputs import corpus_inputs
from synth.methods.corpus.queries import Example
from synth.methods.corpus.settings import CorpusSettings
from synth.run.plan import Plan, fingerprint, make_plan
from synth.run.quotas import deal


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """`number` is the document's in the store."""

    number: int
    difficulty: Difficulty
    examples: tuple[Example, ...]

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> DocumentPlan:
        examples = tuple(Example(**example) for example in row["examples"])
        return cls(row["number"], Difficulty(row["difficulty"]), examples)


def plan_documents(folder: Path, settings: CorpusSettings, random_seed: int) -> Plan:
    """The plan and the document store of a run, new or existing; see `synth.run.plan.make_plan`."""
    inputs = corpus_inputs(settings)
    chosen_by = {"sample", "shots", "difficulties", "split"}
    options = settings.model_dump(mode="json", include=chosen_by) | {"random_seed": random_seed}
    made_from = fingerprint(options, inputs.files)
    path, store_path = folder / "plan.jsonl", folder / "documents.sqlite"
    if path.exists():
        return make_plan(path, made_from, 0, ())
    examples = inputs.examples()
    if not examples:
        raise BadInput(f"{settings.documents}: no question of '{settings.split}' is answered; name --corpus.examples.")
    build_documents(store_path, inputs.documents())
    store = DocumentStore(store_path)
    total = len(store)
    store.close()
    if total == 0:
        raise BadInput(f"{settings.documents}: holds no row; give a corpus.")
    chosen = min(settings.sample or total, total)
    rows = (asdict(row) for row in _rows(settings, examples, total, chosen, random_seed))
    return make_plan(path, made_from, chosen, rows)


def _rows(
    settings: CorpusSettings, examples: list[Example], total: int, chosen: int, random_seed: int
) -> Iterator[DocumentPlan]:
    draw = random.Random(f"{random_seed}/documents")  # noqa: S311 - a draw, not a secret
    numbers = sorted(draw.sample(range(total), chosen))
    difficulties = deal(chosen, settings.difficulties, f"{random_seed}/difficulties")
    for number, difficulty in zip(numbers, difficulties, strict=True):
        shots = draw.sample(examples, min(settings.shots, len(examples)))
        yield DocumentPlan(number, difficulty, tuple(shots))
