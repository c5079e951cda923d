"""The report: every kind of result in its table, what was not run, texts escaped, plots that a browser reads."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation.cli import main
from evaluation.fusing import Advice, decide, fit
from evaluation.results.cascade import CascadeResult, Measured, compared
from evaluation.results.files import made, write_json
from evaluation.results.fusion import FusionResult
from evaluation.scorers.http import RankedDocuments
from tests.evaluation import small_data
from tests.evaluation.test_fusing import both_half, queries

EVIL = 'x</td><script>alert(1)</script> & "quoted" $x^2$ | pipe'


class Page(HTMLParser):
    """The tags, links and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Real results of BM25 on small folders, and a benchmark whose data is not there."""
    out, label = tmp_path / "out", f"--label={EVIL}"
    own, medquad = small_data.beir_folder(tmp_path / "own"), small_data.medquad_folder(tmp_path / "medquad")
    run_file = str(own / "candidates.trec")
    assert main(["run", "beir", "--data", str(own), "--out", str(out), "--bm25", label]) == 0
    assert main(["run", "beir", "--data", str(own), "--out", str(out), "--run-file", run_file]) == 0
    assert main(["run", "medquad", "--data", str(medquad), "--out", str(out), "--bm25"]) == 0
    assert main(["calibrate", "--data", str(medquad), "--out", str(out), "--bm25", "--pairs", "30"]) == 0
    assert (
        main(["injections", "--data", str(medquad), "--out", str(out), "--bm25", "--passages", "3", "--depth", "4"])
        == 0
    )
    assert main(["run", "litsearch", "--data", str(tmp_path / "none"), "--out", str(out), "--bm25"]) == 0
    return out


def test_a_report_holds_every_result(results: Path) -> None:
    assert main(["report", str(results), "--title", "All <of> it"]) == 0
    page = Page((results / "report.html").read_text(encoding="utf-8"))
    for title in (
        "Ranking",
        "Beside published figures",
        "Other readings",
        "Calibration",
        "Injected sentences",
        "Not run",
    ):
        assert title in page.text
    assert "All <of> it" in page.text
    assert "1.0000 [1.0000, 1.0000]" in page.text
    data = json.loads((results / "report.json").read_text(encoding="utf-8"))
    assert {kind: len(found) for kind, found in data["results"].items()} == {
        "ranking": 3,
        "calibration": 1,
        "injections": 1,
        "not_run": 1,
    }


def test_published_figures_stand_beside_ours_or_beside_why_there_are_none(results: Path) -> None:
    main(["report", str(results)])
    lines = (results / "report.md").read_text(encoding="utf-8").splitlines()
    rows = {
        line.split("|")[1].strip(): line for line in lines if re.match(r"\| (bright|litsearch|medquad|gpqa) ", line)
    }
    assert "| 28 |" in rows["bright"]
    assert "not run: not asked for" in rows["bright"]
    assert "| 60.1 |" in rows["litsearch"]
    assert "not run: the folder" in rows["litsearch"]
    assert "| 0.952 |" in rows["medquad"]
    assert "BM25, bm25 top-100: " in rows["medquad"]
    assert "| 30.3 |" in rows["gpqa"]


def test_texts_are_escaped_and_nothing_outside_is_asked_for(results: Path) -> None:
    main(["report", str(results)])
    html = (results / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in page.tags
    assert EVIL in page.text
    assert page.links
    for link in page.links:
        kind, _, encoded = link.partition(",")
        assert kind == "data:image/svg+xml;base64"
        drawn = ET.fromstring(base64.b64decode(encoded))
        assert not [one for one in drawn.iter() if one.tag.endswith("script")]
    assert "\\| pipe" in (results / "report.md").read_text(encoding="utf-8")


def test_the_same_results_make_the_same_plots(results: Path) -> None:
    main(["report", str(results)])
    first = {path.name: path.read_bytes() for path in (results / "plots").iterdir()}
    main(["report", str(results)])
    assert {path.name: path.read_bytes() for path in (results / "plots").iterdir()} == first
    assert len(first) == 5  # intervals, two rerankings that changed something, calibration, injections


def test_a_task_that_was_run_after_all_is_not_listed_as_not_run(results: Path, tmp_path: Path) -> None:
    folder = small_data.litsearch_folder(tmp_path / "litsearch")
    assert main(["run", "litsearch", "--data", str(folder), "--out", str(results), "--bm25"]) == 0
    main(["report", str(results)])
    text = (results / "report.md").read_text(encoding="utf-8")
    assert "## Not run" not in text
    assert "BM25, search:bm25 top-100: 100.0" in text


def ranked(tokens: int) -> RankedDocuments:
    return RankedDocuments([0], tokens, 2.0, cascaded=tokens == 70)


def of_stages(out: Path) -> None:
    """The results of `fuse` and `cascade`, on made-up scores and orders."""
    fusion = fit(queries(40, both_half, seed=1))
    decision = decide(queries(40, both_half, seed=2), fusion)
    fused = FusionResult(
        task="own/test",
        scorer="a|b",
        identity={},
        fit_on="own/dev",
        fit_queries=40,
        queries=40,
        protocol="bm25 top 10",
        advice=Advice.FUSE,
        weight=0.3,
        of=fusion.of,
        reason=decision.reason,
        rows=decision.rows,
        seconds=1.0,
        made=made(),
    )
    ways = {"first": Measured(), "second": Measured(), "cascade": Measured()}
    for way, tokens, order in (("first", 20, "ba"), ("second", 100, "ab"), ("cascade", 70, "ab")):
        ways[way].add("q", list(order), ranked(tokens))
    cascade = CascadeResult(
        task="own/test",
        first="small",
        second="large",
        mode="adaptive",
        protocol="bm25 top 2",
        queries=1,
        keep=1,
        rows=compared({"q": {"a": 1}}, ways, "first", "second"),
        made=made(),
    )
    for name, found in (("fusion", fused), ("cascade", cascade)):
        (out / name).mkdir(parents=True)
        write_json(out / name / f"{name}.json", found.to_json())


def test_results_of_fuse_and_cascade_are_in_the_report(tmp_path: Path) -> None:
    of_stages(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "First stage and model: own/test, a|b" in page.text
    assert "Advice: fuse, with first_stage_" in page.text
    assert "first_stage_weight 0.3 (of all calls: --first-stage-weight 0.3); weight fitted on 40 queries" in page.text
    assert "1 queries, bm25 top 2; mode adaptive, 1 documents kept." in page.text
    lines = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    assert {"the first stage alone", "replaced by the model", "first", "second", "cascade"} <= set(rows)
    assert "| 0.6309 [0.6309, 0.6309] | -0.3691 [-0.3691, -0.3691] | 0 | 0.0% | 2.0 | 1.00 |" in rows["first"]
    assert "| 1.0000 [1.0000, 1.0000] | +0.0000 [+0.0000, +0.0000] | 50 | 50.0% | 2.0 | 1.00 |" in rows["cascade"]
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {kind: found[0]["folder"] for kind, found in data["results"].items()} == {
        "cascade": "cascade",
        "fusion": "fusion",
    }


@pytest.mark.parametrize("name", ["fusion", "cascade"])
def test_a_result_of_a_stage_that_is_cut_off_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_stages(tmp_path)
    path = tmp_path / name / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["rows"][0]["value"]
    path.write_text(json.dumps(found), encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 2
    assert f"{name}.json is no such result (rows.0.value" in capsys.readouterr().err
