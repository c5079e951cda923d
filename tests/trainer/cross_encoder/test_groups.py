"""Which groups are trained, and with which negatives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contract.records import Group, write_groups
from contract.scored_groups import ScoredGroup, write_scored_groups
from tests.trainer.examples import groups, scored_groups
from trainer.cross_encoder.groups import GroupChoice, Row, is_labelled, load_groups, rows, scored_row
from trainer.errors import BadData
from trainer.run.data import names_any, read_ids


def names(found: Sequence[Group | ScoredGroup]) -> list[str]:
    return [group.id for group in found]


def test_a_larger_sample_holds_every_smaller_one(groups_file: Path) -> None:
    small, large, whole = (
        names(load_groups(groups_file, GroupChoice(3, sample=count, seed=4))) for count in (5, 20, None)
    )
    assert small == large[:5] == whole[:5]
    assert len(set(whole)) == 48
    assert whole != names(load_groups(groups_file, GroupChoice(3, seed=5)))


def test_hard_negatives_are_the_groups_own_and_random_ones_are_others_positives(groups_file: Path) -> None:
    hard, loose = (GroupChoice(3, kind, seed=1) for kind in ("hard", "random"))
    found = load_groups(groups_file, hard)
    for group, row in zip(found, rows(found, hard), strict=True):
        assert row.passages[0] == group.positive
        assert set(row.passages[1:]) <= set(group.negatives)
        assert len(set(row.passages)) == 4
    positives = {group.positive for group in found}
    for group, row in zip(found, rows(found, loose), strict=True):
        assert set(row.passages[1:]) <= positives - {group.positive}


def test_a_group_with_fewer_negatives_than_wanted_has_all_of_its_own(groups_file: Path) -> None:
    choice = GroupChoice(5)
    found = load_groups(groups_file, choice)
    for group, row in zip(found, rows(found, choice), strict=True):
        assert isinstance(group, Group)
        assert sorted(row.passages[1:]) == sorted(group.negatives)


def test_a_domain_or_ids_are_left_out(groups_file: Path, tmp_path: Path) -> None:
    left = load_groups(groups_file, GroupChoice(3, leave_out="crafts"))
    assert {group.domain for group in left} == {"materials"}
    (tmp_path / "ids.txt").write_text("7\nq-9\n")
    excluded = read_ids(tmp_path / "ids.txt")
    assert {"test/q-7/plain", "test/q-9/plain"} == set(names(load_groups(groups_file, GroupChoice(3)))) - set(
        names(load_groups(groups_file, GroupChoice(3, excluded=excluded)))
    )
    assert names_any("medquad/q-A_1/A_1/plain", frozenset({"A_1"}))
    assert not names_any("medquad/q-A_11/A_11/plain", frozenset({"A_1"}))


def test_the_name_of_a_domain_is_no_beginning_of_ids(tmp_path: Path) -> None:
    one, two = groups(2)
    write_groups(
        tmp_path / "groups.jsonl", [replace(one, id="web/1", domain="law"), replace(two, id="x/2", domain="web")]
    )
    assert names(load_groups(tmp_path / "groups.jsonl", GroupChoice(3, leave_out="web"))) == ["web/1"]
    assert names(load_groups(tmp_path / "groups.jsonl", GroupChoice(3, leave_out="x/"))) == ["web/1"]


def test_what_cannot_be_trained_is_one_sentence(groups_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="48 usable groups, fewer than the 100"):
        load_groups(groups_file, GroupChoice(3, sample=100))
    with pytest.raises(BadData, match="has no domain, no source and no beginning of an id 'craft' to leave out"):
        load_groups(groups_file, GroupChoice(3, leave_out="craft"))
    with pytest.raises(BadData, match="no group left"):
        load_groups(groups_file, GroupChoice(3, leave_out="test/"))
    with pytest.raises(BadData, match="cannot be read"):
        load_groups(tmp_path / "none.jsonl", GroupChoice(3))
    broken = tmp_path / "broken.jsonl"
    write_groups(broken, groups(2))
    broken.write_text(broken.read_text() + '{"id": "x"}\n')
    with pytest.raises(BadData, match=r"broken.jsonl, line 4"):
        load_groups(broken, GroupChoice(3))


def test_scored_groups_are_taken_as_they_are_the_positive_in_front(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    write_scored_groups(path, scored_groups(30))
    choice = GroupChoice(7, sample=20, leave_out="crafts", seed=2)
    found = load_groups(path, choice)
    assert len(found) == 20
    assert {is_labelled(group) for group in found} == {True, False}
    for group, row in zip(found, rows(found, choice), strict=True):
        assert isinstance(group, ScoredGroup)
        assert group.domain != "crafts"
        assert row == scored_row(group)
        assert sorted(row.passages) == sorted(group.passages)
        assert row.labelled is (group.positive is not None)
        if group.positive is not None:
            assert row.passages[0] == group.passages[group.positive]
        known = dict(zip(group.passages, group.teacher, strict=False))
        assert [known.get(passage) for passage in row.passages if known] == list(row.teacher)


def test_a_scored_row_moves_the_teachers_scores_along() -> None:
    group = ScoredGroup(
        id="a",
        query="q",
        passages=("x", "y", "z"),
        positive=2,
        teacher=(1, 2, 3),
        source="s",
        licence="MIT",
        domain="d",
    )
    assert scored_row(group) == Row("q", None, ("z", "x", "y"), True, (3, 1, 2))


def test_a_broken_scored_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    write_scored_groups(path, scored_groups(3))
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(BadData, match="line 5: the line has no 'id'"):
        load_groups(path, GroupChoice(3))


@pytest.mark.parametrize("copy", ["Positive  0", "POSITIVE 0", "positive\u00a00"])
def test_random_negatives_are_no_answers_to_the_same_query(copy: str) -> None:
    """By their text, and also where the query stands in another group under another answer."""
    made = [replace(group, query=f"query {at}", positive=f"positive {at}") for at, group in enumerate(groups(6))]
    made[1] = replace(made[1], query="other", positive=copy)
    made[2] = replace(made[2], query="QUERY  0", positive="second answer")
    for seed in range(20):
        row = rows(made, GroupChoice(3, "random", seed=seed))[0]
        assert not {copy, "positive 0", "second answer"} & set(row.passages[1:])


@pytest.mark.parametrize("positives", [["one"], ["one", "One"], ["one", "one ", "ONE"]])
def test_random_negatives_of_groups_with_one_answer_are_a_sentence(positives: list[str]) -> None:
    made = [replace(next(groups(1)), id=f"g{at}", query=f"q{at}", positive=text) for at, text in enumerate(positives)]
    with pytest.raises(BadData, match="no other group has another positive"):
        rows(made, GroupChoice(3, "random"))


def test_a_file_whose_group_contradicts_itself_is_refused_by_its_line(tmp_path: Path) -> None:
    one, two = groups(2)
    path = tmp_path / "groups.jsonl"
    write_groups(path, [one, two])
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace(json.dumps(two.negatives[0]), json.dumps(two.positive.upper() + " ")), encoding="utf-8"
    )
    with pytest.raises(BadData, match=r"groups\.jsonl, line 3: negative 0 has the same text as the positive"):
        load_groups(path, GroupChoice(1))
