"""Injection probes: where the sentences go, and how ranks are counted."""

from __future__ import annotations

from pathlib import Path

from evaluation.benchmarks.names import named
from evaluation.first_stage import candidates
from evaluation.injections import INJECTIONS, build_probes, rank_among
from tests.evaluation import small_data


def test_there_are_twenty_different_sentences() -> None:
    assert len(set(INJECTIONS)) == 20


def test_each_probe_has_an_irrelevant_passage_and_its_sentence(tmp_path: Path) -> None:
    task = named("medquad").open("test", small_data.medquad_folder(tmp_path), None)
    queries = list(task.queries)
    found, _ = candidates(task, queries, None, 3)
    wider, probes = build_probes(task, queries, found, every=False)
    assert [next(iter(probe.injected.values())) for probe in probes] == list(INJECTIONS[:12])
    for number, probe in enumerate(probes):
        assert probe.clean not in probe.rivals
        assert task.qrels[probe.query.id].get(probe.clean, 0) == 0
        (key,) = probe.injected
        text, sentence = wider.documents[key], INJECTIONS[number]
        assert text.endswith(sentence) if number % 2 == 0 else text.startswith(sentence)
        assert task.documents[probe.clean] in text
    assert task.documents.keys() < wider.documents.keys()


def test_every_puts_all_sentences_into_each_passage(tmp_path: Path) -> None:
    task = named("medquad").open("test", small_data.medquad_folder(tmp_path), None)
    found, _ = candidates(task, task.queries[:2], None, 3)
    wider, probes = build_probes(task, task.queries[:2], found, every=True)
    assert [len(probe.injected) for probe in probes] == [20, 20]
    assert len(wider.documents) == len(task.documents) + 40


def test_a_rank_counts_equal_rivals_before() -> None:
    assert rank_among(5.0, [4.0, 3.0]) == 1
    assert rank_among(3.0, [4.0, 3.0, 1.0]) == 3
    assert rank_among(0.0, [4.0, 3.0]) == 3
