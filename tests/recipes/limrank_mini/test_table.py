"""The passes of `table` behind the real service, on two questions: the embedded cross-encoder, and small causal models
in place of limrank-mini, whose size and answers prove nothing about the passes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.settings import read_command
from evaluation.benchmarks.names import named
from evaluation.benchmarks.task import Query
from evaluation.results.files import write_json, write_per_query
from evaluation.scorers.http import HttpScorer
from evaluation.scorers.local_service import weights_hash
from evaluation.scorers.scorer import Scored
from evaluation.settings import PROGRAM
from recipes.limrank_mini import table
from recipes.limrank_mini.__main__ import main
from recipes.limrank_mini.table import MiniSettings
from service.models.checkpoint import Checkpoint
from tests.evaluation import small_data
from tests.evaluation.kept_services import KeptServices

pytestmark = pytest.mark.usefixtures("warm_services")
SMALL = ("--pairs", "5", "--trace-pairs", "5", "--injections", "2", "--threads", "2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """MedQuAD and DL19; each test question has two candidates, the second of which is the answer."""
    folder = tmp_path / "data"
    small_data.medquad_folder(folder / "medquad")
    small_data.beir_folder(folder / "dl19")
    answers = named("medquad").open("test", folder / "medquad", None).qrels
    names = [next(iter(found)) for found in answers.values()]
    found = {query: [names[at - 1], names[at]] for at, query in enumerate(answers)}
    for stage in ("bm25", "minilm"):
        small_data.trec_run(folder / "medquad" / f"candidates_{stage}_test.trec", found)
    return folder


def read(out: Path, name: str) -> dict[str, Any]:
    (path,) = out.rglob(name)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def one_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command, given three times, asks a service that it started the first time."""
    kept = KeptServices()
    monkeypatch.setattr(table, "local_service", kept.serve)
    yield
    kept.close()


@pytest.mark.usefixtures("one_service")
def test_the_reasoning_pass_checks_its_traces_and_is_compared_with_direct_mode(
    data: Path, writing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Direct mode had 0.25 for every question at an earlier sitting, first with another model, then with the same."""
    out = tmp_path / "out"
    folder = out / "medquad-test" / "bm25-30"
    earlier = folder / "limrank-mini-direct"
    words = ["table", "--data", str(data), "--out", str(out), "--only", "reasoning", "--reasoning-queries", "2", *SMALL]
    words += ["--max-reasoning-tokens", "48", "--model", str(writing_model)]
    assert main(words) == 0
    ranked, traces = read(folder / "limrank-mini-reasoning", "result.json"), read(out, "traces.json")
    steps = json.loads((out / "steps.json").read_text(encoding="utf-8"))
    earlier.mkdir()
    asked = named("medquad").open("test", data / "medquad", None).queries
    write_per_query(earlier / "per_query.tsv", {"nDCG@10": {query.id: 0.25 for query in asked}})
    for weights in ("others", ranked["identity"]["weights"]):
        assert not list(out.rglob("comparison.json"))
        identity = ranked["identity"] | {"mode": "direct", "weights": weights}
        write_json(earlier / "result.json", ranked | {"scorer": "limrank-mini (direct)", "identity": identity})
        kept = steps["reasoning calibration"] | {"identity": identity | {"weights": "others"}}
        write_json(out / "steps.json", steps | {"direct calibration": kept})
        capsys.readouterr()
        assert main(words) == 0
        said = capsys.readouterr().out.splitlines()
        assert (
            "Reasoning is not compared with direct mode: they were measured with different models or settings." in said
        ) == (weights == "others")

    assert (ranked["queries"], ranked["pairs"], ranked["scorer"]) == (2, 4, "limrank-mini (reasoning)")
    assert sum(ranked["endings"].values()) == 4
    asked_with = {name: ranked["identity"][name] for name in ("dtype", "max_tokens_per_doc", "max_reasoning_tokens")}
    assert asked_with == {"dtype": "bfloat16", "max_tokens_per_doc": 112, "max_reasoning_tokens": 48}
    assert read(out, "calibration.json")["pairs"] == traces["pairs"] == 5

    change, mean = read(out, "comparison.json")["difference"]["mean"], ranked["measures"]["nDCG@10"]["mean"]
    assert change == pytest.approx(mean - 0.25, abs=1e-6)
    (path,) = out.rglob("traces.tsv")
    head, *lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert all(row["trace"].strip('"').endswith("relevant.") for row in rows)  # each trace came to an end
    assert {row["concludes"] for row in rows} == {"relevant", "not relevant"}
    agreed = sum(row["concludes"] == ("relevant" if float(row["log_odds"]) > 0 else "not relevant") for row in rows)
    assert traces["agrees"] == agreed / 5

    assert any(line.startswith("limrank-mini-reasoning minus limrank-mini-direct, nDCG@10 on 2") for line in said)
    figures = {line.split(": ")[1]: line for line in said if line.startswith(("not measured: ", "met: ", "MISSED: "))}
    assert len(figures) == 14
    for target, figure in {
        "limrank-mini, reasoning, MedQuAD test, BM25 top-30": f"{mean:.4f} [",
        "reasoning not below direct, same queries": f"{change:+.4f} [",
        "traces, wording agrees with the verdict, 200 dev pairs": f"{100 * agreed / 5:.1f} % of 5 pairs",
        "reasoning, expected calibration error, 2,000 dev pairs": f"{read(out, 'calibration.json')['error']:.4f} on 5",
        "direct, expected calibration error, 2,000 dev pairs": "- (<= 0.05)",  # what is kept is another model's
    }.items():
        assert figures[target].startswith(f"not measured: {target}: {figure}")
    assert figures["reasoning, injected passages in the top 3"].startswith("met: ")
    assert " of 2 (" in figures["reasoning, injected passages in the top 3"]


def test_the_cross_encoder_pass_ranks_both_collections(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["table", "--data", str(data), "--out", str(out), "--only", "cross-encoder", *SMALL]
    assert main([*words, "--cross-encoder-queries", "2", "--dl19-queries", "1"]) == 0
    ranked = read(out / "medquad-test" / "minilm-100", "result.json")
    assert (ranked["queries"], ranked["scorer"]) == (2, "limrank-mini-ce (direct)")
    assert (ranked["identity"]["dtype"], ranked["identity"]["max_tokens_per_doc"]) == ("bfloat16", 256)
    web = read(out / "trec-dl-dl19", "result.json")
    assert (web["queries"], web["pairs"]) == (1, 4)
    assert read(out, "calibration.json")["pairs"] == 5
    said = capsys.readouterr().out
    mean = ranked["measures"]["nDCG@10"]["mean"]
    assert f"not measured: limrank-mini-ce, MedQuAD test, MiniLM top-100: {mean:.4f} [" in said
    assert f"not measured: cross-encoder, DL19, BM25 top-100: {web['measures']['nDCG@10']['mean']:.4f} [" in said
    assert "not measured: limrank-mini, reasoning, MedQuAD test, BM25 top-30: - (" in said
    assert "met: cross-encoder, injected passages in the top 3: " in said


def test_the_embedded_models_are_the_default_and_the_cuts_can_be_left_to_them() -> None:
    given = ["--data", "d", "--out", "o"]
    plain = read_command(MiniSettings, PROGRAM, "table", given, [MiniSettings])
    assert (plain.max_tokens_per_doc, plain.cross_encoder_max_tokens_per_doc, plain.concurrency) == (112, 256, 10)
    uncut = [*given, "--max-tokens-per-doc", "None", "--cross-encoder-max-tokens-per-doc", "None"]
    settings = read_command(MiniSettings, PROGRAM, "table", uncut, [MiniSettings])
    assert (settings.max_tokens_per_doc, settings.cross_encoder_max_tokens_per_doc) == (None, None)
    assert (plain.model, plain.cross_encoder_model) == ("limrank-mini", "limrank-mini-ce")


@pytest.fixture
def long_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call takes a tenth of a second at least, to which the seconds of a result are rounded."""
    score = HttpScorer.score

    def longer(scorer: HttpScorer, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        time.sleep(0.1)
        return score(scorer, query, passages)

    monkeypatch.setattr(HttpScorer, "score", longer)


@pytest.mark.usefixtures("long_calls")
def test_the_table_of_a_folder_goes_through_the_service(
    small_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Direct mode on small data: every step writes its result, what is missing is said, the report holds all."""
    data, out = tmp_path / "data", tmp_path / "out"
    small_data.medquad_folder(data / "medquad")
    words = ["table", "--data", str(data), "--out", str(out), "--model", str(small_checkpoint.folder)]
    words += ["--only", "direct", "--direct-queries", "2", "--pairs", "5", "--injections", "1", "--threads", "2"]
    assert main([*words, "--max-tokens-per-doc", "24"]) == 0
    (path,) = (out / "medquad-test").rglob("result.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["queries"] == 2
    assert found["identity"]["fingerprint"] == small_checkpoint.manifest.fingerprint
    assert found["identity"]["weights"] == weights_hash(str(small_checkpoint.folder))
    assert found["identity"]["max_tokens_per_doc"] == 24
    assert found["seconds"] >= 0.1
    said = capsys.readouterr().out
    assert "trec-dl/dl19: not run:" in said
    assert "not measured: limrank-mini, direct, MedQuAD test" in said  # two queries are no 600
    checked = json.loads((out / "targets.json").read_text(encoding="utf-8"))
    assert {one["met"] for one in checked["targets"]} == {None, True}  # the count of injections is only reported
    assert "limrank-serve" not in (out / "service.log").read_text(encoding="utf-8")
    assert (out / "report.html").exists()


def test_a_pass_whose_model_cannot_be_served_is_reported_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_data.medquad_folder(tmp_path / "medquad")
    words = ["table", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--only", "reasoning"]
    assert main([*words, "--model", "no-such-model"]) == 1
    said = capsys.readouterr()
    assert "reasoning pass with no-such-model: not run: limrank-serve exited with 2" in said.out
    assert "but not run: reasoning" in said.err
    assert "no-such-model" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
