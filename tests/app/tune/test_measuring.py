"""What the report says first follows from the figures; groups keep scores and leave out what may answer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.tune.documents.passages import Passage
from app.tune.groups.candidates import Found
from app.tune.groups.filtering import Filter
from app.tune.groups.labels import Labelled, by_bi_encoder
from app.tune.progress import Progress
from app.tune.queries.made import HEADING, OWN, WORDS, Query
from app.tune.results.measuring import Case, extremes, measured
from app.tune.results.systems import BM25, FUSED, NEAR, NEW, SHIPPED, verdict
from app.tune.training import TrainingPlan
from retrieval.retriever import Hit
from tests.app.tune.tty import Screen


def passage(number: int, document: str = "", headings: tuple[str, ...] = ()) -> Passage:
    return Passage(f"p{number}", document or f"d{number}", "", 0, headings, f"The text of passage {number}.")


def query(kind: str = HEADING, relevant: dict[str, int] | None = None, name: str = "q", **more: Any) -> Query:
    return Query(name, f"what of {name}", kind, {"p0": 1} if relevant is None else relevant, True, **more)


def found(cosines: dict[int, float], bm25: tuple[int, ...] = (), own: tuple[int, ...] = (0,)) -> Found:
    near = sorted((Hit(index, score) for index, score in cosines.items()), key=lambda hit: -hit.score)
    shared = tuple(Hit(index, float(10 - place)) for place, index in enumerate(bm25))
    return Found("q", shared, tuple(near), own, cosines)


def filtered(passages: list[Passage], vectors: list[list[float]]) -> Filter:
    unit = np.asarray(vectors, dtype=np.float32)
    return Filter(passages, unit / np.linalg.norm(unit, axis=1, keepdims=True), "CC0-1.0", Counter())


NO_WEIGHTS = {SHIPPED: 0.0, NEW: 0.0}
APART: list[list[float]] = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 2, 1], [0, 1, 2]]


def test_what_found_is_survives_its_row() -> None:
    one = found({0: 0.5, 1: 0.25}, (1, 2))
    assert Found.from_row(one.to_row()) == one
    assert one.fused() == [1, 0, 2]


def test_what_may_answer_is_no_negative() -> None:
    passages = [
        passage(0, "d", ("A",)),
        passage(1, "d", ("A", "below")),
        passage(2),
        passage(3),
        passage(4),
        passage(5),
    ]
    vectors: list[list[float]] = [[1.0, 0, 0], [0, 1, 0], [0.99, 0.1, 0], [0, 0, 1], [0, 1, 1], [0, 2, 1]]
    made = filtered(passages, vectors)
    hits = found({0: 0.5, 1: 0.4, 2: 0.45, 3: 0.9, 4: 0.3, 5: 0.2}, (5,))
    (group,) = made.from_cosines(query(), by_bi_encoder(query(), hits), hits)
    assert group.positive == 0
    assert dict(zip(group.passages, group.teacher, strict=True)) == {
        "The text of passage 0.": 0.5,
        "The text of passage 4.": 0.3,
        "The text of passage 5.": 0.2,
    }
    assert made.refused == {"of the answer's section": 1, "near the answer": 1}


def test_words_that_do_not_find_their_own_passage_teach_nothing() -> None:
    made = filtered([passage(number) for number in range(3)], APART[:3])
    hits = Found("q", (), (Hit(1, 0.5), Hit(2, 0.4)), (0,), {0: 0.1, 1: 0.5, 2: 0.4})
    assert list(made.from_cosines(query(WORDS), by_bi_encoder(query(WORDS), hits), hits)) == []
    assert len(list(made.from_cosines(query(HEADING), by_bi_encoder(query(), hits), hits))) == 0  # all are nearer
    assert made.refused["the query does not find its own passage"] == 1


def test_a_query_that_nobody_judged_is_a_list_of_scores() -> None:
    asked = query(OWN, {})
    hits = found({number: 0.9 - number / 10 for number in range(6)}, own=())
    made = filtered([passage(number) for number in range(6)], APART)
    (group,) = made.from_cosines(asked, by_bi_encoder(asked, hits), hits)
    assert group.positive is None
    assert len(group.passages) >= 3
    assert list(group.teacher) == sorted(group.teacher, reverse=True)


def test_grades_are_kept_and_two_answers_do_not_stand_against_each_other() -> None:
    made = filtered([passage(number) for number in range(6)], APART)
    (group,) = made.from_grades(query(), Labelled("q", (0, 1, 2, 3), (8.0, 10.0, 5.0, 0.0), (0, 1)))
    assert group.positive == 0
    assert group.passages[0] == "The text of passage 1."
    assert group.teacher == (10.0, 5.0, 0.0)
    (unclear,) = made.from_grades(query(), Labelled("q", (0, 1, 2), (6.0, 5.0, 4.0), ()))
    assert unclear.positive is None
    assert unclear.teacher == (6.0, 5.0, 4.0)
    assert list(made.from_grades(query(), Labelled("q", (0, 1), (5.0, 5.0), ()))) == []


def rankings(new: int, count: int = 30) -> tuple[list[Case], list[Passage], dict[str, dict[str, list[str]]]]:
    """The new model puts the answer first in `new` of the queries, else third; the others put it second."""
    passages = [passage(number) for number in range(4)]
    cases = [Case(query(name=f"q{number}"), found({0: 0.5, 1: 0.4})) for number in range(count)]
    second, first, third = ["p1", "p0", "p2"], ["p0", "p1", "p2"], ["p1", "p2", "p0"]
    ranked = {system: {f"q{number}": second for number in range(count)} for system in (BM25, NEAR, FUSED, SHIPPED)}
    ranked[NEW] = {f"q{number}": first if number < new else third for number in range(count)}
    return cases, passages, ranked


@pytest.mark.parametrize(
    ("new", "helps", "begin"),
    [
        (28, True, "The new model helps: "),
        (9, True, "The new model may help, but"),
        (2, False, "The new model does not help: "),
    ],
)
def test_the_verdict(new: int, helps: bool, begin: str) -> None:
    cases, passages, ranked = rankings(new)
    figures = measured(cases, passages, ranked, NO_WEIGHTS)
    told = verdict(figures)
    assert (told[0], told[1].startswith(begin)) == (helps, True), told
    assert figures["rival"] == BM25
    assert figures["best_possible"] == 1.0
    assert figures["against"][BM25]["better"] == new
    shown = extremes(cases, passages, ranked, figures)
    assert [each["gain"] for each in shown].count(True) == min(new, 5)
    assert all(each["before"][1]["relevant"] for each in shown)


def test_documents_are_ranked_by_their_best_passage() -> None:
    passages = [passage(0, "a"), passage(1, "b"), passage(2, "a")]
    case = Case(query(OWN, {"b": 1}, by_document=True), found({0: 0.5}, own=()))
    ranked = {system: {"q": ["p0", "p2", "p1"]} for system in (BM25, NEAR, FUSED, SHIPPED)} | {
        NEW: {"q": ["p1", "p0", "p2"]}
    }
    figures = measured([case], passages, ranked, NO_WEIGHTS)
    assert figures["systems"][NEW]["mean"] == 1.0
    assert figures["systems"][BM25]["mean"] == pytest.approx(0.6309, abs=1e-4)  # second of two documents


def test_progress_learns_from_the_steps_that_took_longer() -> None:
    clock = [0.0]
    shown = Progress(Screen(), lambda: clock[0])
    shown.expect({"one": 10.0, "two": 100.0})
    shown.begin("one")
    assert shown.left() == "about 2 min left"
    clock[0] = 20.0
    assert shown.end("x") == 20.0
    shown.begin("two")
    assert shown.left() == "about 2 min left"  # until the step itself has shown its pace
    clock[0] = 70.0
    shown.at(1, 4, "a detail")
    assert shown.left() == "about 2 min left"
    assert "two          25 %  a detail  about 2 min left" in shown.stream.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("graded", "ranks", "weight"), [(False, True, 0.0), (False, False, 0.3), (True, True, 1.0)])
def test_cosines_teach_only_a_base_that_does_not_rank(graded: bool, ranks: bool, weight: float) -> None:
    plan = TrainingPlan(
        base=Path("b"), learning_rate=2e-5, epochs=None, max_tokens=96, seed=7, graded=graded, ranks=ranks
    )
    assert plan.settings(Path("groups.jsonl"), Path("run"), 100).labelled_teacher_weight == weight
