"""The whole file of records from a small folder: both modes, checked traces, and the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.evidence import read_evidence, stands_in
from contract.records import Difficulty, Intent, NegativeType, Record, read_records, write_records
from contract.scored_groups import ScoredGroup, write_scored_groups
from recipes.limrank_mini.evidence.__main__ import main
from recipes.limrank_mini.evidence.building import Amounts, build
from recipes.limrank_mini.evidence.scorers import ByCrossEncoder
from tests.recipes.limrank_mini.general.folders import THINGS, passage_of, query_of, write_general
from tests.tokenizers import minilm_folder

AMOUNTS = Amounts(instructed_percent=30, without_answer_percent=100, direct_percent=30, passage_tokens=60)


class SharedWords:
    """In place of a model: the number of words that query and text share."""

    def scores(self, pairs: Sequence[tuple[str, str]], report: object = None) -> list[float]:
        return [float(len(set(query.casefold().split()) & set(text.casefold().split()))) for query, text in pairs]

    def probability(self, score: float) -> float:
        return min(1.0, score / 4)


def group(thing: str, kind: str = "general") -> ScoredGroup:
    others = [other for other in THINGS if other != thing][:4]
    query = query_of(thing)["text"] if kind == "general" else passage_of(thing, 1)["text"]
    return ScoredGroup(
        id=f"{kind}/q-{thing}",
        query=query,
        passages=tuple(passage_of(name, 0)["text"] for name in (thing, *others)),
        positive=None if kind == "list" else 0,
        teacher=(0.8, 0.3, 0.2, 0.1, 0.0),
        source="textbook",
        licence="CC-BY-4.0 AND MIT",
        domain="things",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_general(tmp_path)
    kinds = ("general", "long", "list")
    write_scored_groups(tmp_path / "groups.jsonl", [group(thing, kind) for thing in THINGS[:6] for kind in kinds])
    write_records(tmp_path / "medquad.jsonl", _medquad())
    return tmp_path


def _medquad() -> list[Record]:
    return [
        Record(
            id=f"medquad/q-{number}/m{number}/plain",
            query="How is gout treated?",
            passage=f"Gout number {number} is an old disease. Colchicine treats it well in most people.",
            relevant=number % 2 == 0,
            trace="An old trace.",
            source="medquad",
            licence="CC-BY-4.0",
            domain="healthcare",
            difficulty=Difficulty.DIRECT,
            intent=Intent.DIRECT,
            negative_type=NegativeType.PARTIAL if number % 2 else None,
        )
        for number in range(6)
    ]


def made(folder: Path, name: str = "records.jsonl") -> list[Record]:
    out = folder / name
    build(
        folder / "general",
        folder / "groups.jsonl",
        folder / "medquad.jsonl",
        out,
        scorer=SharedWords(),
        tokens=lambda text: len(text.split()),
        amounts=AMOUNTS,
    )
    return list(read_records(out))


def test_both_modes_of_every_kind_with_traces_that_hold(folder: Path) -> None:
    records = made(folder)
    assert {record.id.split("/")[0] for record in records} == {"general", "long", "list", "medquad"}
    traced = [record for record in records if record.trace is not None]
    assert 0 < len(traced) < len(records)
    assert all(record.trace is None for record in records if record.id.startswith("list/"))
    for record in traced:
        found = read_evidence(record.trace or "")
        assert found.quotation is not None
        assert stands_in(found.quotation, record.passage)
        assert found.relevant is record.relevant
        assert "old trace" not in (record.trace or "")
    assert len({record.id for record in records}) == len(records)
    assert {record.relevant for record in records} == {True, False}


def test_a_known_answer_is_quoted_and_passages_are_cut(folder: Path) -> None:
    records = made(folder)
    direct = [r for r in records if r.id.startswith("general/") and r.id.endswith("/0") and r.trace is None]
    assert all("needs 3 days" in record.passage for record in direct)
    known = [
        r for r in records if r.id.startswith("general/") and r.id.endswith("/0") and r.trace and not r.instruction
    ]
    assert known
    for record in known:
        assert "needs 3 days" in (read_evidence(record.trace or "").quotation or "")
    assert all(len(record.passage.split()) <= AMOUNTS.passage_tokens for record in records)


def test_a_passage_without_its_answer_is_irrelevant(folder: Path) -> None:
    taken = [record for record in made(folder) if record.id.endswith("/without")]
    assert taken
    for record in taken:
        assert not record.relevant
        assert "needs 3 days" not in record.passage
        assert record.trace is None or record.instruction or "does not say that" in record.trace


def test_instructions_change_labels_only_where_that_is_certain(folder: Path) -> None:
    instructed = [record for record in made(folder) if record.instruction and record.source != "medquad"]
    assert instructed
    for record in instructed:
        if "in English" not in (record.instruction or "") and "passages in" in (record.instruction or ""):
            assert not record.relevant
        if "number" in (record.instruction or "") and not any(one.isdigit() for one in record.passage):
            assert not record.relevant


def test_the_manifest_counts_what_was_written_and_rejected(folder: Path) -> None:
    records = made(folder)
    content = json.loads((folder / "records.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert content["records"] == len(records) == sum(content["kinds"].values())
    assert content["relevant"] == sum(record.relevant for record in records)
    assert set(content["licences"]) == {"CC-BY-4.0", "MIT"}
    assert 0 < content["trace tokens, median"] <= 96


def test_the_same_inputs_give_the_same_bytes(folder: Path) -> None:
    made(folder)
    made(folder, "again.jsonl")
    assert (folder / "again.jsonl").read_bytes() == (folder / "records.jsonl").read_bytes()


def test_the_command_takes_its_files_and_amounts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = minilm_folder()
    files = [str(folder / "general"), str(folder / "records.jsonl"), "--groups", str(folder / "groups.jsonl")]
    flags = ["--medquad", str(folder / "medquad.jsonl"), "--tokenizer", str(encoder / "tokenizer.json")]
    amounts = ["--labelled", "2", "--long", "1", "--list", "1", "--medquad-records", "3"]
    assert main([*files, *flags, "--encoder", str(encoder), *amounts]) == 0
    records = list(read_records(folder / "records.jsonl"))
    assert len({record.id.rsplit("/", 1)[0] for record in records if record.id.startswith("general/")}) <= 2
    assert sum(record.source == "medquad" for record in records) <= 3
    assert f"{len(records)} records" in capsys.readouterr().err
    (folder / "groups.jsonl").write_text("{}\n")
    assert main([*files, *flags, "--encoder", str(encoder)]) == 2


def test_a_cross_encoder_scores_each_pair_once(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    pairs = [("how is gout treated", "Colchicine eases gout."), ("how is gout treated", "Bread rises. " * 20)]
    first = ByCrossEncoder(minilm_folder(), tmp_path)
    scores = first.scores(pairs, lambda done, of: calls.append((done, of)))
    again = ByCrossEncoder(minilm_folder(), tmp_path, temperature=2.0)
    assert again.scores(pairs, lambda done, of: calls.append((done, of))) == pytest.approx([s / 2 for s in scores])
    assert calls == [(2, 2)]  # the head of the second model is another, and was not asked
    assert 0.0 <= again.probability(-1e9) < again.probability(0.0) == 0.5
