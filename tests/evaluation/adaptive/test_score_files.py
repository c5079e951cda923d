"""The policies on score files of other models: which files are refused, what a budget buys, and which policy wins."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from contract.adaptive.parameters import Parameters, Policy
from evaluation.adaptive.crossing import crossed
from evaluation.adaptive.replay import DIRECT, FUSED, Variant, baselines, replay
from evaluation.adaptive.score_files import COST, fit, in_scores, of_one_unit, score_pairs
from evaluation.adaptive.traces import RecordedQuery
from evaluation.cli import main
from evaluation.errors import BadData
from retrieval.trec import Qrels, Run, write_run

SURE, OPEN, HOPELESS = 8, 10, 12


def only_the_border_matters(queries: int = 40) -> tuple[Run, Run, Qrels]:
    """Eight documents are clearly relevant, twelve clearly not, by either score. Of ten between them two are relevant,
    which the expensive score alone tells."""
    draw = np.random.default_rng(7)
    direct: Run = {}
    reasoned: Run = {}
    qrels: Qrels = {}
    means = [6.0] * SURE + [0.0] * OPEN + [-6.0] * HOPELESS
    for number in range(queries):
        cheap = (np.asarray(means) + draw.normal(0, 0.3, len(means))).tolist()
        grades = [1] * SURE + draw.permutation([1] * 2 + [0] * (OPEN - 2)).tolist() + [0] * HOPELESS
        found = sorted((f"d{i}" for i in range(len(means))), key=lambda name: -cheap[int(name[1:])])
        direct[f"q{number}"] = {name: cheap[int(name[1:])] for name in found}
        reasoned[f"q{number}"] = {
            name: 6.0 * (2 * grades[int(name[1:])] - 1) + 0.1 * cheap[int(name[1:])] for name in found
        }
        qrels[f"q{number}"] = {f"d{i}": grade for i, grade in enumerate(grades)}
    return direct, reasoned, qrels


DIRECT_RUN, REASONED_RUN, QRELS = only_the_border_matters()
QUERIES = score_pairs(DIRECT_RUN, REASONED_RUN, QRELS, 100)


def mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


@pytest.mark.parametrize("policy", Policy)
def test_a_budget_of_nothing_is_direct(policy: Policy) -> None:
    parameters = fit(QUERIES)
    nothing = replay(QUERIES, parameters, Variant("x", policy, budget=0))
    assert (nothing.values, nothing.reasoned) == (baselines(QUERIES, parameters)[0].values, 0)


@pytest.mark.parametrize("policy", Policy)
def test_a_full_budget_is_all_and_an_oracle_is_then_perfect(policy: Policy) -> None:
    everything = dataclasses.replace(fit(QUERIES), tolerance=0.0)
    documents = SURE + OPEN + HOPELESS
    whole = in_scores(replay(QUERIES, everything, Variant("x", policy, budget=COST * documents)))
    assert whole.values == baselines(QUERIES, everything)[2].values
    assert set(whole.tokens.values()) == {documents}
    assert mean(whole.values) == pytest.approx(1.0)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("scores", [1, 7, 29])
def test_a_budget_buys_as_many_scores_as_it_says(policy: Policy, scores: int) -> None:
    everything = dataclasses.replace(fit(QUERIES), tolerance=0.0)
    some = in_scores(replay(QUERIES, everything, Variant("x", policy, budget=COST * scores)))
    assert some.variant.budget == scores
    assert set(some.tokens.values()) == {scores}
    assert some.reasoned == scores * len(QUERIES)


def test_the_largest_budget_does_not_buy_one_more() -> None:
    """What is kept back for verdicts and not spent adds up with each score, and must stay below the cost of one."""
    documents = 999
    scores = {f"d{i}": float(-i) for i in range(documents)}
    reasoned = {name: -score for name, score in scores.items()}
    query = score_pairs({"q": scores}, {"q": reasoned}, {"q": {"d0": 1}}, documents)[0]
    everything = dataclasses.replace(fit(QUERIES), tolerance=0.0)
    found = replay([query], everything, Variant("x", Policy.TOP, budget=COST * (documents - 1)))
    assert found.reasoned == documents - 1


@pytest.mark.parametrize(("factor", "more"), [(1e-300, 0.0), (1e-3, 0.0), (1e300, 0.0), (1.0, 1e6)])
@pytest.mark.parametrize("expensive", [False, True])
def test_the_unit_of_a_score_changes_nothing(factor: float, more: float, expensive: bool) -> None:
    def some(run: Run, factor: float = 1.0, more: float = 0.0) -> Run:
        return {f"q{n}": {name: factor * score + more for name, score in run[f"q{n}"].items()} for n in range(12)}

    own = some(DIRECT_RUN), some(REASONED_RUN)
    other = (own[0], some(REASONED_RUN, factor, more)) if expensive else (some(DIRECT_RUN, factor, more), own[1])
    top = Variant("top", Policy.TOP, budget=COST * OPEN)
    expected, found = (crossed(of_one_unit(score_pairs(*runs, QRELS, 100)), [top], fit) for runs in (own, other))
    assert mean(found[top].values) == pytest.approx(mean(expected[top].values), abs=1e-3)
    assert mean(found[FUSED].values) == pytest.approx(1.0)


def test_where_only_the_border_matters_its_policies_win() -> None:
    variants = [Variant(policy.value, policy, budget=COST * OPEN) for policy in Policy]
    found = crossed(QUERIES, variants, fit)
    value = {variant.name: mean(result.values) for variant, result in found.items()}
    assert value["border"] > 0.99 > value["top"] > value["direct"]
    assert value["border"] > value["random"]
    assert value["gain"] > value["top"]
    assert found[FUSED].values == pytest.approx(dict.fromkeys(QRELS, 1.0))


def test_each_half_is_measured_with_the_parameters_of_the_other() -> None:
    fitted: list[list[str]] = []

    def noted(queries: Sequence[RecordedQuery]) -> Parameters:
        fitted.append([query.id for query in queries])
        return fit(queries)

    found = crossed(QUERIES, [], noted)
    first, second = [query.id for query in QUERIES[::2]], [query.id for query in QUERIES[1::2]]
    assert fitted == [second, first]
    assert found[DIRECT].values.keys() == set(first) | set(second)


def test_candidates_are_the_best_by_the_cheap_score() -> None:
    cut = score_pairs(DIRECT_RUN, REASONED_RUN, QRELS, 5)
    assert [len(query.documents) for query in cut] == [5] * len(QRELS)
    assert list(cut[0].documents) == list(DIRECT_RUN["q0"])[:5]


def test_probabilities_become_log_odds_and_other_scores_stay() -> None:
    direct = {"q": {"a": 1.0, "b": 0.75, "c": 0.0}, "unjudged": {"a": 9.0}}
    reasoned = {"q": {"a": 2.0, "b": 0.5, "c": -1.0}}
    (query,) = score_pairs(direct, reasoned, {"q": {"a": 1}}, 100)
    high, middle, low = (trace.direct for trace in query.traces)
    assert middle == pytest.approx(math.log(3))
    assert high > 20
    assert low == pytest.approx(-high)
    assert [trace.reasoned for trace in query.traces] == [2.0, 0.5, -1.0]
    assert list(query.relevant) == [True, False, False]


@pytest.mark.parametrize(
    ("direct", "reasoned", "said"),
    [
        ({"q": {"a": 2.0, "b": 1.0}}, {"q": {"c": 2.0}}, "share no pair of a judged query"),
        ({"r": {"a": 2.0}}, {"r": {"a": 1.0}}, "share no pair of a judged query"),
        ({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 2.0}}, "--reasoned-run has no score for 1 of 2 pairs"),
        ({"q": {"a": 2.0}}, {"q": {"a": 2.0, "b": 3.0, "c": 0.0}}, "--direct-run has no score for 2 of 3 pairs"),
        ({"q": {"a": 2.0}, "p": {"a": 1.0}}, {"q": {"a": 2.0}}, "--reasoned-run has no score for 1 of 2 pairs"),
        ({"q": {"a": 1.0, "b": 1.0}}, {"q": {"a": 2.0, "b": 3.0}}, "All scores of --direct-run are the same"),
        ({"q": {"a": 2.0, "b": 3.0}}, {"q": {"a": 0.0, "b": 0.0}}, "All scores of --reasoned-run are the same"),
        (
            {"q": {"a": 2.0, "b": 3.0}, "p": {"a": 5.0, "b": 1.0}},
            {"q": {"a": 1.0, "b": 0.5}, "p": {"a": 0.5, "b": 1.0}},
            "--reasoned-run has the same score at each rank",
        ),
        ({"q": {"a": 2.0, "b": 3.0}}, {"q": {"a": 3.0, "b": 2.0}}, "the scores of --direct-run in another order"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(direct: Run, reasoned: Run, said: str) -> None:
    with pytest.raises(BadData, match=said):
        score_pairs(direct, reasoned, {"q": {"a": 1}, "p": {"a": 1}}, 100)


@pytest.mark.parametrize("depth", [2, 3, 100])
def test_ranks_are_refused_whatever_the_depth(depth: int) -> None:
    """Of a run over more candidates the scores within the depth are a part that looks like scores."""
    direct = {"q": {"a": 9.0, "b": 8.0, "c": 7.0}, "p": {"a": 5.0, "b": 4.0, "c": 1.0}}
    ranks = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}, "p": {"a": 1.0, "b": 3.0, "c": 2.0}}
    in_another_order = {"q": {"a": 9.0, "b": 8.0, "c": 7.0}, "p": {"a": 1.0, "b": 5.0, "c": 4.0}}
    for run, said in ((ranks, "the same score at each rank"), (in_another_order, "in another order")):
        with pytest.raises(BadData, match=said):
            score_pairs(direct, run, {"q": {"a": 1}, "p": {"a": 1}}, depth)


def test_whether_scores_are_probabilities_is_seen_in_the_whole_file() -> None:
    direct = {"q": {"a": 0.9, "b": 0.2, "c": -3.0}}
    reasoned = {"q": {"a": 0.1, "b": 0.7, "c": 2.0}}
    (query,) = score_pairs(direct, reasoned, {"q": {"a": 1}}, 2)
    assert [(trace.direct, trace.reasoned) for trace in query.traces] == [(0.9, 0.1), (0.2, 0.7)]


def files(folder: Path) -> list[str]:
    write_run(folder / "small.trec", DIRECT_RUN, "small")
    write_run(folder / "large.trec", REASONED_RUN, "large")
    lines = [f"{query} 0 {document} {grade}" for query, found in QRELS.items() for document, grade in found.items()]
    (folder / "own.qrels").write_text("\n".join(lines) + "\n")
    named = {"direct-run": "small.trec", "reasoned-run": "large.trec", "qrels": "own.qrels", "out": "out"}
    return [word for flag, name in named.items() for word in (f"--{flag}", str(folder / name))]


def test_the_command_writes_the_report_of_adaptive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adaptive-runs", *files(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "small, then large: adaptive: on: nDCG@10 against direct on 40 queries" in said
    assert "within 3 expensive scores" in said
    (path,) = (tmp_path / "out").rglob("adaptive.json")
    found = json.loads(path.read_text("utf-8"))
    assert (found["task"], found["pairs"], found["full_tokens"]) == ("own", 40 * 30, 30)
    assert {row["budget"] for row in found["rows"]} == {None, 2, 3, 6, 15}
    assert not any(row["early_stop"] for row in found["rows"])
    assert all(row["tokens"] <= row["budget"] for row in found["rows"] if row["budget"] is not None)
    plot = path.with_suffix(".svg").read_text("utf-8")
    assert "expensive scores a query" in plot
    assert "early stops" not in plot
    assert main(["report", str(tmp_path / "out")]) == 0
    report = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "| policy | budget | expensive scores a query | of all | nDCG@10 |" in report
    assert "| all reasoned, fused |  | 30.0 | 100.0% | 1.0000 [1.0000, 1.0000] |" in report


def test_two_shares_of_few_candidates_may_be_one_budget(tmp_path: Path) -> None:
    assert main(["adaptive-runs", *files(tmp_path), "--depth", "10"]) == 0
    (path,) = (tmp_path / "out").rglob("adaptive.json")
    rows = json.loads(path.read_text("utf-8"))["rows"]
    assert {row["budget"] for row in rows} == {None, 1, 2, 5}
    assert all(row["reasoned"] == row["tokens"] for row in rows)


def test_too_few_queries_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = files(tmp_path)
    (tmp_path / "own.qrels").write_text("q0 0 d0 1\nq1 0 d0 1\n")
    assert main(["adaptive-runs", *words]) == 2
    assert "Only 2 queries with candidates to fit on; at least 4 are needed" in capsys.readouterr().err
