"""The commands over a real service (its engine scripted: log-odds are the words shared, less one) and real files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.cli import main
from retrieval.trec import read_run
from tests.evaluation import small_data
from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, clean_environment, server
from tests.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("service")
    with server("tests.service.scripted_server", free_port(), folder, "--drain-delay", "0") as running:
        yield running


def flags(**values: object) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def result(folder: Path, name: str = "result.json") -> dict[str, Any]:
    (path,) = folder.rglob(name)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found | {"folder": path.parent}


def test_a_service_reranks_a_beir_folder(
    service: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = small_data.beir_folder(tmp_path / "own"), tmp_path / "out"
    assert main(["run", "beir", *flags(data=folder, url=service.url, out=out, depth=2, label="words")]) == 0
    found = result(out)
    # Two answers come first; the third stands below the candidates that are reranked.
    assert found["measures"]["nDCG@10"] == pytest.approx({"mean": 2 / 3, "low": 0.0, "high": 1.0})
    assert found["measures"]["R@5"]["mean"] == 2 / 3
    assert found["first_stage"]["RR@10"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["best_possible"]["nDCG@10"] == pytest.approx(2 / 3)
    assert found["queries"] == found["of_queries"] == 3
    assert found["protocol"]["first_stage"] == "candidates"
    assert found["protocol"]["depth"] == 2
    assert found["scorer"] == "words"
    run = read_run(found["folder"] / "run.trec")
    assert next(iter(run["q2"])) == "tea-1"
    assert "own/test (3 queries, candidates top-2): words nDCG@10" in capsys.readouterr().out


def test_a_reasoning_run_says_how_its_traces_ended(service: ServerProcess, tmp_path: Path) -> None:
    folder, out = small_data.beir_folder(tmp_path / "own"), tmp_path / "out"
    assert main(["run", "beir", *flags(data=folder, url=service.url, out=out, mode="reasoning")]) == 0
    found = result(out)
    assert found["endings"] == {"complete": 12}
    assert found["scorer"].endswith("(reasoning)")
    assert main(["report", str(out)]) == 0
    assert "mode reasoning" in (out / "report.md").read_text(encoding="utf-8")
    assert "; traces: 100 % complete" in (out / "report.md").read_text(encoding="utf-8")


def test_followir_reports_p_mrr_in_both_instructions(service: ServerProcess, tmp_path: Path) -> None:
    """The query is 'bread'. The altered instruction names two more words of bread-1, which so goes before bread-2, from
    the first place to the second."""
    folder = small_data.followir_folder(tmp_path / "followir")
    words = ["run", "followir", *flags(data=folder, url=service.url, out=tmp_path / "out", tasks="core17,news21")]
    assert main(words) == 0
    found = result(tmp_path / "out")
    assert found["measures"]["p-MRR"]["mean"] == 0.5
    average = found["measures"]["AP@1000"]
    assert average["mean"] == pytest.approx((1 + 1) / 2), "bread-2 counts under the original instruction alone"
    assert average["low"] == average["high"] == average["mean"], "one topic, though two queries"
    assert next(iter(found["measures"])) == "p-MRR"
    assert found["groups"]["original instruction"]["queries"] == 1
    missing = result(tmp_path / "out", "not_run.json")
    assert missing["task"] == "followir/news21"
    assert "should hold jhu-clsp/news21-instructions-mteb" in missing["not_run"]


@pytest.mark.parametrize(("before", "after", "value"), [(1, 4, 1 - 1 / 4), (4, 1, 1 / 4 - 1)])
def test_p_mrr_is_above_0_where_what_the_altered_instruction_rules_out_falls(
    before: int, after: int, value: float, tmp_path: Path
) -> None:
    """bread-2 is what it rules out; a run file puts it where we want it under either instruction."""
    folder, others = small_data.followir_folder(tmp_path / "followir"), ["tea-1", "bread-1", "bike-1"]
    at = {"310-og": before, "310-changed": after}
    small_data.trec_run(
        tmp_path / "mine.trec",
        {query: [*others[: place - 1], "bread-2", *others[place - 1 :]] for query, place in at.items()},
    )
    words = flags(data=folder, run_file=tmp_path / "mine.trec", out=tmp_path / "out", tasks="core17")
    assert main(["run", "followir", *words]) == 0
    found = result(tmp_path / "out")
    assert found["measures"]["p-MRR"]["mean"] == pytest.approx(value)
    assert (found["folder"] / "per_query.tsv").read_text(encoding="utf-8").count(f"{value:.6f}") == 1


def test_followir_is_ranked_to_its_end_and_a_cut_stands_beside_the_published_figure(tmp_path: Path) -> None:
    folder, out = small_data.followir_folder(tmp_path / "followir"), tmp_path / "out"
    words = ["run", "followir", *flags(data=folder, out=out, tasks="core17"), "--bm25"]
    assert main(words) == 0
    assert result(out)["protocol"]["depth"] == 1000
    assert main([*words, "--depth", "2"]) == 0
    assert main(["report", str(out)]) == 0
    lines = (out / "report.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith("| followir |")]
    assert "BM25, with-data top-2: " in row
    assert "BM25, with-data top-1000: " in row
    assert row.endswith("over all 1,000 candidates of each query |")


def test_baselines_and_run_files_are_scorers_too(tmp_path: Path) -> None:
    folder, out = small_data.beir_folder(tmp_path / "own"), tmp_path / "out"
    assert main(["run", "beir", *flags(data=folder, out=out / "bm25"), "--bm25"]) == 0
    assert result(out / "bm25")["measures"]["nDCG@10"]["mean"] == 1.0
    assert main(["run", "beir", *flags(data=folder, out=out / "run", run_file=folder / "candidates.trec")]) == 0
    found = result(out / "run")
    assert found["measures"]["RR@10"]["mean"] == pytest.approx(found["first_stage"]["RR@10"])
    worst = tmp_path / "worst.trec"
    small_data.trec_run(worst, {query: found[::-1] for query, found in small_data.FOUND.items()})
    words = flags(data=folder, out=out / "worst", run_file=worst, first_stage=folder / "candidates.trec")
    assert main(["run", "beir", *words]) == 0
    assert result(out / "worst")["measures"]["RR@10"]["mean"] == pytest.approx((1 / 4 + 1 / 3 + 1 / 2) / 3)


def names(folder: Path, split: str) -> list[str]:
    """The answers of a split of the small MedQuAD."""
    lines = (folder / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t")[1] for line in lines]


def test_a_query_of_stop_words_alone_does_not_stop_bm25(tmp_path: Path) -> None:
    folder = small_data.beir_folder(tmp_path / "own")
    small_data.jsonl(
        folder / "queries.jsonl", [{"_id": "q1", "text": "What is it?"}, {"_id": "q2", "text": "green tea"}]
    )
    assert main(["run", "beir", *flags(data=folder, out=tmp_path / "out"), "--bm25"]) == 0
    assert result(tmp_path / "out")["queries"] == 2


def test_only_what_the_published_figure_is_of_stands_beside_it(tmp_path: Path) -> None:
    folder, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    words = ["run", "medquad", *flags(data=folder, out=out, tasks="test,dev", queries=5), "--bm25"]
    assert main(words) == 0
    assert main(["report", str(out)]) == 0
    lines = (out / "report.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith("| medquad |") and "0.952" in line]
    (test,) = [json.loads(path.read_text()) for path in (out / "medquad-test").rglob("result.json")]
    assert f"BM25, bm25 top-100: {test['measures']['nDCG@10']['mean']:.3f} (5 of 12 queries) |" in row


def test_both_readings_of_medquad_are_reported(tmp_path: Path) -> None:
    folder = small_data.medquad_folder(tmp_path / "medquad")
    words = ["run", "medquad", *flags(data=folder, out=tmp_path / "out", tasks="dev"), "--bm25"]
    assert main(words) == 0
    found = result(tmp_path / "out")
    reading = found["readings"]["same answer"]
    assert reading["measures"]["R@20"]["mean"] == pytest.approx(found["measures"]["R@20"]["mean"])
    assert reading["best_possible"] == 1.0
    other = {query: [name] for query, name in ((f"q-{name}", name) for name in names(folder, "dev"))}
    other["q-dev-0-causes"] = ["dev-1-causes", "dev-0-causes"]
    small_data.trec_run(tmp_path / "mine.trec", other)
    words = ["run", "medquad", *flags(data=folder, out=tmp_path / "mine", tasks="dev", run_file=tmp_path / "mine.trec")]
    assert main(words) == 0
    mine = result(tmp_path / "mine")
    assert mine["measures"]["RR@10"]["mean"] == pytest.approx(1 - 0.5 / 12)
    assert mine["readings"]["same answer"]["measures"]["RR@10"]["mean"] == 1.0
    assert set(found["groups"]) == {"symptoms", "treatment", "causes"}


def test_calibration_is_measured_and_a_temperature_fitted(service: ServerProcess, tmp_path: Path) -> None:
    folder = small_data.medquad_folder(tmp_path / "medquad")
    words = flags(data=folder, out=tmp_path / "out", url=service.url, pairs=50, fit_split="train", fit_pairs=30)
    assert main(["calibrate", *words]) == 0
    found = result(tmp_path / "out", "calibration.json")
    assert found["pairs"] == 50
    assert found["relevant"] == 10
    assert sum(one["count"] for one in found["curve"]) == 50
    assert found["temperature"]["on"] == "medquad/train"
    assert 0.05 <= found["temperature"]["value"] <= 20
    rows = [json.loads(line) for line in (found["folder"] / "scores.jsonl").read_text().splitlines()[1:]]
    for row in rows:
        answer, *negatives = row["documents"]
        assert row["query"] == f"q-{answer}"
        assert answer not in negatives


def test_adaptive_mode_is_fitted_replayed_and_written_into_its_checkpoint(
    service: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine's verdict is the same with and without a trace: nothing is gained, and the gate stays closed."""
    folder, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    words = flags(data=folder, out=out, url=service.url, depth=6, max_reasoning_tokens=16)
    assert main(["adaptive", *words]) == 0
    found = result(out, "adaptive.json")
    assert (found["on"], found["fit_on"], found["task"]) == (False, "medquad/dev", "medquad/test")
    assert (found["queries"], found["fit_queries"], found["full_tokens"]) == (12, 12, 30)
    assert {row["policy"] for row in found["rows"]} >= {"direct", "top", "border", "gain", "random", "unsure"}
    assert "adaptive: off: nDCG@10 against direct on 12 queries" in capsys.readouterr().out
    assert {path.name for path in found["folder"].iterdir()} >= {"adaptive.html", "adaptive.md", "adaptive.svg"}
    journals = {path: path.read_text("utf-8") for path in out.rglob("scores.jsonl")}
    assert len(journals) == 2
    assert all('"probes":[[[0,' in text for text in journals.values())
    assert main(["adaptive", *words]) == 0, "a second run asks for nothing and says the same"
    assert {path: path.read_text("utf-8") for path in out.rglob("scores.jsonl")} == journals
    assert main(["report", str(out)]) == 0
    assert "Adaptive reasoning: medquad/test" in (out / "report.md").read_text("utf-8")
    assert main(["adaptive", *words, *flags(write=folder)]) == 2
    assert "has no reranker.json to write into" in capsys.readouterr().err


def test_a_calibration_of_no_pairs_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_data.medquad_folder(tmp_path / "medquad")
    (folder / "candidates_bm25_test.trec").replace(folder / "candidates_bm25_dev.trec")
    assert main(["calibrate", *flags(data=folder, out=tmp_path / "out", pairs=50), "--bm25"]) == 2
    assert "medquad/dev: no query has an answer and 4 candidates that are none" in capsys.readouterr().err


def test_injections_are_ranked_with_and_without_their_sentence(service: ServerProcess, tmp_path: Path) -> None:
    folder = small_data.medquad_folder(tmp_path / "medquad")
    words = flags(data=folder, out=tmp_path / "out", url=service.url, passages=4, depth=5)
    assert main(["injections", *words]) == 0
    found = result(tmp_path / "out", "injections.json")
    assert (found["probes"], found["protocol"]["depth"]) == (4, 5)
    assert 0 <= found["clean_in_top"] <= found["in_top"] <= 4  # more words can only share more words
    assert found["mean_shift"] >= 0
    assert len(found["rows"]) == 4


def test_two_results_are_compared_query_by_query(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = small_data.beir_folder(tmp_path / "own"), tmp_path / "out"
    assert main(["run", "beir", *flags(data=folder, out=out / "a"), "--bm25"]) == 0
    assert main(["run", "beir", *flags(data=folder, out=out / "b", run_file=folder / "candidates.trec")]) == 0
    one, two = (str(result(out / name)["folder"]) for name in "ab")
    assert main(["compare", one, two, *flags(out=tmp_path / "c.json", measure="RR@10")]) == 0
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["difference"]["mean"] == pytest.approx(1 - (1 + 1 / 2 + 1 / 3) / 3, abs=1e-6)
    assert (found["better"], found["worse"]) == (2, 0)
    assert "on 3 queries" in capsys.readouterr().out
    assert main(["compare", one, str(tmp_path), "--measure", "RR@10"]) == 2
    far = small_data.beir_folder(tmp_path / "far")
    assert main(["run", "beir", *flags(data=far, out=out / "far"), "--bm25"]) == 0
    capsys.readouterr()
    assert main(["compare", one, str(result(out / "far")["folder"]), "--measure", "RR@10"]) == 2
    assert "is a result on own/test, and" in capsys.readouterr().err
    assert main(["compare", one, two, "--measure", "MRR"]) == 2
    assert "it has nDCG@10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "medquad", "--out", "o"], "name one scorer"),
        (["run", "medquad", "--out", "o", "--bm25", "--model", "x"], "and only one"),
        (["run", "medquad", "--bm25"], "'out' is not given"),
        (["run", "squad", "--out", "o", "--bm25"], "'squad' is no benchmark"),
        (["run", "bright", "--out", "o", "--bm25", "--tasks", "law"], "'law' is no task of bright"),
        (["run", "medquad", "--out", "o", "--bm25", "--depth", "0"], "'depth' is '0'"),
        (["run", "bright", "--out", "o", "--bm25", "--first-stage", "none.trec"], "none.trec does not exist; correct"),
        (["run", "medquad", "--out", "o", "--bm25", "--search-queries", "x"], "--search-queries is for bright"),
        (["run", "medquad", "--out", "o", "--url", "http://127.0.0.1:9", "--key-variable", "NO_SUCH"], "NO_SUCH"),
        (["report", "nowhere"], "holds no results"),
    ],
)
def test_bad_settings_are_sentences(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "NO_SUCH" in words:
        words += ["--data", str(small_data.medquad_folder(tmp_path / "m"))]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_the_environment_sets_what_flags_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_data.beir_folder(tmp_path / "own")
    monkeypatch.setenv("LIMRANK_TRAIN_EVAL_DEPTH", "2")
    assert main(["run", "beir", *flags(data=folder, out=tmp_path / "out"), "--bm25"]) == 0
    assert result(tmp_path / "out")["protocol"]["depth"] == 2
    monkeypatch.setenv("LIMRANK_TRAIN_EVAL_DEPHT", "2")
    assert main(["run", "beir", *flags(data=folder, out=tmp_path / "out"), "--bm25"]) == 2
    assert "LIMRANK_TRAIN_EVAL_DEPHT is no setting" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in ("run", "calibrate", "injections", "rag", "compare", "report"))
    assert main([]) == 2
    assert main(["benchmarks"]) == 0
    assert "sustainable_living" in capsys.readouterr().out


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_where_it_was(by: signal.Signals, tmp_path: Path) -> None:
    folder, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    go = tmp_path / "go"
    with server(
        "tests.service.scripted_server",
        free_port(),
        tmp_path,
        *("--drain-delay", "0"),
        LIMRANK_TEST_SECONDS_PER_DOCUMENT="0.03",
        LIMRANK_TEST_FREE="11",  # it stops in the middle of the sixth call
        LIMRANK_TEST_GO=str(go),
    ) as running:
        words = ["run", "medquad", *flags(data=folder, url=running.url, out=out, documents_per_call=2, concurrency=1)]
        process = subprocess.Popen(
            [sys.executable, "-m", "evaluation.cli", *words],
            cwd=ROOT,
            env=clean_environment(),
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: _lines(out) > 3 or process.poll() is not None, every=0.02)
        process.send_signal(by)
        go.touch()
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == (-9 if by is signal.SIGKILL else 130)
        if by is signal.SIGTERM:
            assert b"the same command goes on from here" in said
        (journal,) = out.rglob("scores.jsonl")
        kept = sum(len(json.loads(line)["documents"]) for line in journal.read_text().splitlines()[1:])
        assert 0 < kept < 72
        assert not list(out.rglob("result.json"))
        before = running.metric("limrank_documents_scored_total")
        assert main(words) == 0
        assert running.metric("limrank_documents_scored_total") - before <= 72 - kept + 2
    assert result(out)["pairs"] == 72


def _lines(out: Path) -> int:
    """Of the journal of scores, once there is one."""
    return sum(path.read_bytes().count(b"\n") for path in out.rglob("scores.jsonl"))


def test_what_to_do_with_a_first_stage_is_fitted_on_one_split_and_decided_on_another(
    service: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    words = flags(data=folder, out=out, url=service.url, depth=6)
    assert main(["fuse", *words]) == 0
    found = result(out, "fusion.json")
    assert (found["fit_on"], found["task"], found["queries"]) == ("medquad/dev", "medquad/test", 12)
    assert found["advice"] in ("leave", "replace", "fuse")
    assert 0 < found["weight"] < 1
    assert len(found["rows"]) == 3
    said = capsys.readouterr().out
    assert "replaced against the first stage" in said
    assert "weight fitted on 12 queries of medquad/dev" in said
    assert main(["fuse", *words, *flags(fit_split="test")]) == 2
    assert "name two splits" in capsys.readouterr().err


@pytest.mark.usefixtures("warm_services")
def test_a_cascade_is_measured_against_its_models(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedded cross-encoder and a small causal model over the real service, each call of a query in turn."""
    folder, out = small_data.medquad_folder(tmp_path / "medquad"), tmp_path / "out"
    words = flags(first="limrank-mini-ce", model=small_model, data=folder, out=out, depth=6, queries=2, keep=2)
    assert main(["cascade", *words]) == 0
    found = result(out, "cascade.json")
    first, second, both = found["rows"]
    assert (first["second_tokens"], second["share"], second["time"]) == (0, 1.0, 1.0)
    assert 0 < both["second_tokens"] < second["second_tokens"]
    assert both["tokens"] == both["second_tokens"] + first["tokens"]
    assert f"limrank-mini-ce then {small_model}, direct" in capsys.readouterr().out
