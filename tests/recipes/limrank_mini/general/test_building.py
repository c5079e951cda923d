"""The whole command on a small folder: what it writes, what it leaves out, and that it is the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.records import Group, write_groups
from contract.scored_groups import ScoredGroup, read_scored_groups
from recipes.limrank_mini.general.__main__ import main
from tests.recipes.limrank_mini.general.folders import DEV, UNSEEN, write_general, write_medquad

EXCLUDED = "m3"


@pytest.fixture(scope="module")
def built(bi_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    write_general(folder)
    write_medquad(folder, EXCLUDED)
    write_groups(
        folder / "medquad.jsonl",
        (
            Group(
                id=f"medquad/q-m{number}/plain",
                query=f"What is gout{number}?",
                instruction="Only one kind of gout counts." if number else None,
                positive=f"Gout{number} is a disease. " * 40,
                negatives=tuple(f"Another disease is number {other}." for other in range(7)),
                source="medquad",
                licence="CC-BY-4.0",
                domain="healthcare",
            )
            for number in range(3)
        ),
    )
    run(folder, bi_encoder, "out.jsonl")
    return folder


def run(folder: Path, bi_encoder: Path, name: str) -> None:
    flags = [
        "--encoder",
        str(bi_encoder),
        "--medquad",
        str(folder / "medquad.jsonl"),
        "--lists",
        "20",
        "--injected",
        "4",
    ]
    assert main([str(folder), str(folder / name), *flags]) == 0


@pytest.fixture(scope="module")
def groups(built: Path) -> list[ScoredGroup]:
    return list(read_scored_groups(built / "out.jsonl"))


def kind(group: ScoredGroup) -> str:
    return group.id.split("/")[0]


def test_every_kind_is_there_and_groups_differ_in_size(groups: list[ScoredGroup]) -> None:
    assert {kind(group) for group in groups} == {"general", "long", "claim", "list", "medquad", "injected"}
    assert len({len(group.passages) for group in groups}) > 1
    assert len({group.id for group in groups}) == len(groups)


def test_labels_and_teacher_stand_where_they_are_known(groups: list[ScoredGroup]) -> None:
    for group in groups:
        assert (group.positive is None) == (kind(group) == "list")
        assert bool(group.teacher) == (kind(group) not in {"medquad", "injected"})
        assert len(set(group.passages)) == len(group.passages)


def test_nothing_held_out_is_in_any_group(groups: list[ScoredGroup]) -> None:
    for group in groups:
        for text in (group.query, *group.passages):
            for forbidden in (DEV, UNSEEN, "gout3", "gout4", "gout5"):
                assert forbidden not in text.casefold()


def test_no_negative_answers(groups: list[ScoredGroup]) -> None:
    labelled = [group for group in groups if kind(group) == "general"]
    assert labelled
    for group in labelled:
        thing = group.id.removeprefix("general/q-")
        assert group.positive == 0
        assert f"{thing} needs 3 days" in group.passages[0].casefold()
        for text in group.passages[1:]:
            assert f" {thing} " not in text.casefold(), "of the same document, or a copy of the answer"


def test_long_queries_and_claims_are_split_off_their_own_document(groups: list[ScoredGroup]) -> None:
    for group in groups:
        if kind(group) in {"long", "claim"}:
            thing = group.id.split("/")[-1].removeprefix("q-").split("-")[0]
            assert f" {thing} " in group.query
            assert thing in group.passages[0]
            assert not any(f" {thing} " in text for text in group.passages[1:])
        if kind(group) == "long":
            assert group.query not in group.passages[0]
            assert 40 <= len(group.query.split()) <= 200


def test_medquads_passages_are_cut_and_instructions_kept(groups: list[ScoredGroup]) -> None:
    medquad = [group for group in groups if kind(group) == "medquad"]
    assert len(medquad) == 3
    assert {group.instruction for group in medquad} == {None, "Only one kind of gout counts."}
    assert all(len(group.passages) == 5 for group in medquad)
    assert all(len(text.split()) <= 200 for group in medquad for text in group.passages)


def test_the_manifest_counts_licences(built: Path, groups: list[ScoredGroup]) -> None:
    manifest = json.loads((built / "out.jsonl.manifest.json").read_text())
    assert manifest["groups"] == len(groups)
    assert manifest["passages"] == sum(len(group.passages) for group in groups)
    assert set(manifest["licences"]) == {"CC-BY-4.0", "CC-BY-SA-4.0"}
    assert manifest["licences by source"] == dict.fromkeys(("handbook", "medquad", "textbook"), "CC-BY-4.0")
    assert sum(manifest["sources"].values()) == len(groups)
    assert manifest["refused candidates"]["held out"] > 0


def test_the_same_inputs_give_the_same_bytes(built: Path, bi_encoder: Path) -> None:
    run(built, bi_encoder, "again.jsonl")
    assert (built / "again.jsonl").read_bytes() == (built / "out.jsonl").read_bytes()


def test_a_folder_of_another_layout_is_a_sentence(
    bi_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "general").mkdir()
    assert main([str(tmp_path), str(tmp_path / "out.jsonl"), "--encoder", str(bi_encoder)]) == 2
    assert "has no 'corpus.jsonl'" in capsys.readouterr().err
