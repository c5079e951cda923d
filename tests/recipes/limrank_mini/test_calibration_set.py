"""Queries kept out of training: of both sets, with the ids that a training excludes, and a folder that calibrates."""

from __future__ import annotations

from pathlib import Path

from evaluation.benchmarks.names import named
from evaluation.first_stage import labelled_pairs
from recipes.limrank_mini.__main__ import main
from tests.evaluation import small_data


def test_train_queries_of_both_sets_are_kept_out(tmp_path: Path) -> None:
    general = small_data.medquad_folder(tmp_path / "general", ("dev", "train"))
    for path in (
        general / "queries.jsonl",
        general / "corpus.jsonl",
        general / "qrels" / "dev.tsv",
        general / "qrels" / "train.tsv",
    ):
        text = path.read_text(encoding="utf-8")
        for split in ("dev", "train"):
            text = text.replace(f"{split}-", f"g{split}-").replace(f" {split}", f" g{split}")
        path.write_text(text, encoding="utf-8")
    medquad = small_data.medquad_folder(tmp_path / "medquad")
    (tmp_path / "more.txt").write_text("other-1\n")
    out = tmp_path / "out"
    words = ["calibration-set", str(general), str(medquad), str(out), "--queries", "3", "--dev-queries", "2"]
    assert main([*words, "--excluded", str(tmp_path / "more.txt")]) == 0
    ids = (out / "ids.txt").read_text(encoding="utf-8").split()
    assert len(ids) == 7
    assert sum(name.startswith("q-gtrain") for name in ids) == sum(name.startswith("q-train") for name in ids) == 3
    train = named("beir").open("train", out, None)
    dev = named("beir").open("dev", out, None)
    assert {query.id for query in train.queries} == {name for name in ids if name != "other-1"}
    assert len(dev.queries) == 4
    queries, found = labelled_pairs(train, 10)
    assert len(queries) == 2
    assert all(len(of) == 5 for of in found.values())
