"""Steps that take minutes keep what they have done: a stopped one goes on, and ends with the same files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from app.tune.documents.passages import Passage
from app.tune.groups.candidates import Found, Vectors, read_vectors, write_vectors
from app.tune.queries.made import HEADING, Query
from app.tune.results.measuring import Case, scored
from app.tune.results.score_log import ScoreLog
from app.tune.results.systems import NEW, SHIPPED
from app.tune.work import Step, Work
from retrieval.retriever import Hit

PASSAGES = [
    Passage(f"p{place}", f"d{place}", "", 0, (), f"Of {place} roses and {place * 7} ferns.") for place in range(5)
]


class Stopped(Exception):
    pass


class CountingEncoder:
    """Vectors of two numbers; `texts` are those it was asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return np.asarray([[len(text), len(self.texts)] for text in texts], dtype=np.float32)


def stops_after(calls: int) -> Callable[[int, int], None]:
    left = [calls]

    def report(done: int, total: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise Stopped

    return report


def no_report(done: int, total: int) -> None: ...


def test_passages_are_encoded_once(tmp_path: Path) -> None:
    texts = [f"text {place}" for place in range(300)]
    encoder = CountingEncoder()
    with pytest.raises(Stopped):
        write_vectors(tmp_path / "v.npy", texts, cast(Any, encoder), tmp_path / "portions", stops_after(2))
    assert not (tmp_path / "v.npy").exists()
    done = len(encoder.texts)
    assert 0 < done < len(texts)
    shape = write_vectors(tmp_path / "v.npy", texts, cast(Any, encoder), tmp_path / "portions", no_report)
    assert shape == (300, 2)
    assert encoder.texts == texts
    assert read_vectors(tmp_path / "v.npy")[:, 0].tolist() == [len(text) for text in texts]


def test_a_stopped_evaluation_ranks_only_what_is_left(tiny_model: Path, tmp_path: Path) -> None:
    near = tuple(Hit(place, 1 - place / 10) for place in range(5))
    cases = [
        Case(
            Query(f"q{number}", f"what of {number} roses", HEADING, {"p0": 1}, True),
            Found(f"q{number}", (), near, (0,), {hit.index: hit.score for hit in near}),
        )
        for number in range(3)
    ]
    models = {SHIPPED: tiny_model, NEW: tiny_model}
    with ScoreLog(tmp_path / "whole.jsonl") as log:
        whole = scored(cases, PASSAGES, models, log, no_report)
    with ScoreLog(tmp_path / "log.jsonl") as log, pytest.raises(Stopped):
        scored(cases, PASSAGES, models, log, stops_after(4))
    kept = (tmp_path / "log.jsonl").read_bytes()
    assert kept.count(b"\n") == 4
    (tmp_path / "log.jsonl").write_bytes(kept + b'{"system":"new mod')  # torn by a kill
    told: list[tuple[int, int]] = []
    with ScoreLog(tmp_path / "log.jsonl") as log:
        assert scored(cases, PASSAGES, models, log, lambda done, total: told.append((done, total))) == whole
    assert told == [(5, 6), (6, 6)]
    assert (tmp_path / "log.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"key": 1, "files": 2}', b"\xff", b"null"])
def test_a_damaged_manifest_is_a_step_that_is_not_done(content: bytes, tmp_path: Path) -> None:
    step = Step("a", ("a.json",), (), {}, dict)
    with Work(tmp_path) as work:
        work.write_json("a.json", {"x": 1})
        work.finish(step, {"told": 1}, 0.0)
        assert work.done(step) == {"told": 1}
        work.file("a.manifest.json").write_bytes(content)
        assert work.done(step) is None


def test_only_one_of_a_kind_is_kept(tmp_path: Path) -> None:
    with Work(tmp_path) as work:
        for name in ("a-1", "a-2", "b-1"):
            work.file(name).mkdir()
        work.file("a-3").write_text("x")
        assert work.only("a-2", "a-*") == work.file("a-2")
        assert sorted(path.name for path in work.path.iterdir() if path.name != "lock") == ["a-2", "b-1"]
