"""Lines of query, pos and neg, as other trainers have them: read, trained, and told what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.records import Group
from contract.scored_groups import ScoredGroup
from tests.trainer.examples import groups
from tests.trainer.running import cross_encoder_flags, train
from trainer.cli import run
from trainer.cross_encoder.groups import GroupChoice, Row, load_groups
from trainer.cross_encoder.held_out import by_bm25, ndcg, say_held_out
from trainer.errors import BadData


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_each_positive_is_a_group_and_scores_are_a_teachers(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "mine.jsonl",
        [
            {"query": "q1", "pos": ["a", "b"], "neg": ["c"], "note": 1},
            {"query": "q2", "pos": ["d"], "neg": ["e", "f"], "pos_scores": [9], "neg_scores": [2, 1.5]},
        ],
    )
    found = sorted(load_groups(path, GroupChoice(3)), key=lambda group: group.id)
    plain, other, scored = found
    assert isinstance(plain, Group)
    assert isinstance(other, Group)
    assert isinstance(scored, ScoredGroup)
    assert (plain.positive, other.positive, plain.negatives) == ("a", "b", ("c",))
    assert (scored.passages, scored.positive, scored.teacher) == (("d", "e", "f"), 0, (9.0, 2.0, 1.5))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"query": "q", "pos": [], "neg": ["a"]}, "'pos' is empty"),
        ({"query": "q", "pos": ["a"], "neg": []}, "'neg' is empty"),
        ({"query": "q", "pos": ["a"]}, "'neg' must be a list of texts"),
        ({"query": "q", "pos": "a", "neg": ["b"]}, "'pos' must be a list of texts"),
        ({"query": " ", "pos": ["a"], "neg": ["b"]}, "a text 'query'"),
        ({"query": "q", "pos": ["a"], "neg": ["b"], "pos_scores": [1]}, "only one of 'pos_scores' and 'neg_scores'"),
        ({"query": "q", "pos": ["a"], "neg": ["b"], "pos_scores": [1], "neg_scores": []}, "one number for each text"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    path = _write(tmp_path / "mine.jsonl", [{"query": "q", "pos": ["a"], "neg": ["b"]}, row])
    with pytest.raises(BadData, match=f"mine.jsonl, line 2: .*{told}"):
        load_groups(path, GroupChoice(3))


def test_trained_with_nothing_but_a_base_and_a_folder(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Groups of one to four negatives; a tenth is held out, measured beside BM25, and the next command is printed."""
    rows = [
        {"query": group.query, "pos": [group.positive], "neg": list(group.negatives[: 1 + number % 4])}
        for number, group in enumerate(groups(40))
    ]
    path = _write(tmp_path / "mine.jsonl", rows)
    words = ["--groups", str(path), "--base", str(tiny_bert), "--folder", str(tmp_path / "run"), "--max-tokens", "64"]
    assert run(["cross-encoder", *words]) == 0
    said = capsys.readouterr().out
    assert "held-out nDCG@10" in said
    assert "on 4 groups (BM25 " in said
    assert f"Serve it: limrank serve --model {tmp_path / 'run' / 'model'}" in said
    manifest = json.loads((tmp_path / "run" / "model" / "reranker.json").read_text())
    assert manifest["scores"]["held-out nDCG@10"]["groups"] == 4
    assert not list((tmp_path / "run").glob("best.*"))
    # A second training begins from the first, which has an output: the base is measured too.
    words[3], words[5] = str(tmp_path / "run" / "model"), str(tmp_path / "again")
    assert run(["cross-encoder", *words]) == 0
    assert "the base untrained" in capsys.readouterr().out


def test_a_run_that_is_killed_keeps_the_same_best_weights(tiny_bert: Path, groups_file: Path, tmp_path: Path) -> None:
    first, second = (cross_encoder_flags(tiny_bert, groups_file, tmp_path / name, epochs=2) for name in ("a", "b"))
    train(first)
    train([*second, "--leg-minutes", "0.00001"])
    train(second)
    whole, parts = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert whole == parts


def test_ndcg_of_one_positive() -> None:
    assert ndcg([3.0, 2.0, 1.0]) == 1.0
    assert ndcg([2.0, 2.0]) == pytest.approx(0.6309, abs=1e-4), "a tie counts against it"
    assert ndcg([0.0, *range(1, 11)]) == 0.0
    assert by_bm25([Row("gout pain", None, ("gout pain in a joint", "the moon"))]) == 1.0


def test_a_result_that_is_worse_is_told_so_first() -> None:
    worse = say_held_out({"score": 0.4, "bm25": 0.5, "base": 0.6, "groups": 20})
    assert worse.startswith("WORSE than BM25 and the base untrained: do not serve it.")
    assert say_held_out({"score": 0.7, "bm25": 0.5, "groups": 20}).startswith("held-out nDCG@10 0.7000 on 20 groups")
