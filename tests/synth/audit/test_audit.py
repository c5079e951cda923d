"""The audit page: its figures, its escaping, its sample, and how a browser shows it."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

from contract.records import Difficulty, NegativeType, Record, Votes, read_records
from synth.audit.audit import write_audit
from synth.audit.graded import Scores
from synth.audit.page import Facts, render
from synth.audit.tallies import Sample, Tallies
from synth.audit.words import verdict
from synth.cli import main
from synth.errors import BadInput
from synth.export.export import export
from synth.export.reader import ExportOptions
from synth.export.sources import Source
from synth.methods.corpus.method import ScoredQuery
from synth.pipeline import run, scored_queries
from synth.run.folder import read_totals
from synth.settings import RunSettings
from tests.requirements_check import require
from tests.synth.endpoint import ScriptedEndpoint
from tests.synth.examples import TRACE_AGAINST, TRACE_FOR, record, records_file
from tests.synth.runs import corpus_knobs, endpoint_knobs, limrank_settings
from tests.waiting import PATIENCE

EVIL = '</div><script>alert(1)</script> & "quoted" $x^2$ {{ 7 * 7 }} <img src=x onerror=alert(2)>'


def tallied(records: list[Record], size: int = 100, seed: int = 0) -> Tallies:
    tallies = Tallies(Sample(size, seed))
    for one in records:
        tallies.add_judged(one)
        tallies.add(one)
    return tallies


class Page(HTMLParser):
    """Elements, attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.source = html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def mixed(count: int) -> list[Record]:
    """Records of every kind."""
    draw = random.Random(4)
    made = []
    for number in range(count):
        relevant = number % 3 == 0
        kind = None if relevant else draw.choice(list(NegativeType))
        for_ = draw.randrange(4)
        made.append(
            record(
                number,
                relevant=relevant,
                negative_type=kind,
                trace=TRACE_FOR if relevant else TRACE_AGAINST,
                passage="flour water salt " * draw.randrange(2, 120),
                domain=draw.choice(["finance", "law", "healthcare"]),
                difficulty=draw.choice(list(Difficulty)),
                votes=Votes(true=for_, false=3 - for_),
            )
        )
    return made


def test_every_text_is_escaped_and_the_page_asks_for_nothing_outside() -> None:
    fields = dict.fromkeys(("query", "passage", "instruction", "trace", "domain", "source", "id"), EVIL)
    page = Page(render(Facts(EVIL, tallied([record(0, **fields, relevant=False)]))))
    assert page.tags["script"] == 0
    assert page.handlers == []
    assert page.text.count(EVIL) >= 6
    assert page.links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    drawn = b"".join(base64.b64decode(link.partition(",")[2]) for link in page.links)
    assert b"<script" not in drawn


def test_figures_are_those_of_the_records() -> None:
    records = mixed(300)
    tallies = tallied(records)
    assert (tallies.records, tallies.relevant, tallies.judged) == (300, 100, 300)
    assert tallies.domains == Counter(one.domain for one in records)
    assert tallies.negatives.total() == 200
    assert tallies.agreements.total() == 300
    lengths = sorted(len(one.passage.split()) for one in records)
    assert tallies.median("passage") == lengths[149]
    text = Page(render(Facts("x", tallies))).text
    assert "33.3 %" in text
    assert "CC0-1.0 (300)" in text


def test_the_sample_is_fair_and_follows_the_seed_alone() -> None:
    records = [record(n) for n in range(400)]
    shuffled = random.Random(0).sample(records, 400)
    chosen = [one.id for one in tallied(records, 100).sample.records()]
    assert len(set(chosen)) == 100
    assert chosen == [one.id for one in tallied(shuffled, 100).sample.records()]
    assert chosen != [one.id for one in tallied(records, 100, seed=1).sample.records()]
    times = Counter(one.id for seed in range(60) for one in tallied(records[:40], 10, seed).sample.records())
    assert len(times) == 40
    assert max(times.values()) < 35  # 15 expected, with a spread of 3.4


def test_long_texts_are_folded_and_not_lost() -> None:
    words = [f"word{n}" for n in range(400)]
    page = Page(render(Facts("x", tallied([record(0, passage=" ".join(words), trace="short trace here")]))))
    assert page.tags["details"] == 1
    assert "330 more words" in page.text
    assert words == re.findall(r"word\d+", page.text)


def test_a_file_becomes_a_page_always_of_the_same_bytes(tmp_path: Path) -> None:
    source = records_file(tmp_path / "in.jsonl", mixed(150))
    for out in ("a.html", "b.html"):
        assert main(["audit", str(source), str(tmp_path / out)]) == 0
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert html == (tmp_path / "b.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags["article"] == 100
    assert page.tags["img"] == 7
    assert str(tmp_path) not in html


def test_no_records_make_a_page_too(tmp_path: Path) -> None:
    source = records_file(tmp_path / "in.jsonl", [])
    write_audit(source, tmp_path / "a.html")
    assert "0 examples, drawn at random" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_bad_row_is_a_sentence_with_its_line(tmp_path: Path) -> None:
    source = records_file(tmp_path / "in.jsonl", mixed(3))
    with source.open("a", encoding="utf-8") as file:
        file.write("oops\n")
    with pytest.raises(BadInput, match=r"in\.jsonl, line 5: not one JSON object"):
        write_audit(source, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run against a scripted endpoint whose replies have a price."""
    folder = tmp_path_factory.mktemp("audited")
    with ScriptedEndpoint() as endpoint:
        priced = endpoint_knobs(endpoint.url, price_prompt=1.0, price_completion=2.0)
        settings = limrank_settings(folder, endpoint.url, seeds=9, generator=priced, judge=priced)
        run(settings, StringIO())
    return folder / "run"


def test_a_run_shows_its_stages_quotas_and_costs(run_folder: Path, tmp_path: Path) -> None:
    tallies = write_audit(run_folder, tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    for stage in ("limrank.queries", "limrank.positive", "limrank.negative", "limrank.judge"):
        assert stage in page.text
    assert "what came out, against the quotas" in page.text
    assert "cost per accepted example" in page.text
    assert tallies.judged >= tallies.records > 0
    drawn = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^":]+):', page.source)
    with_quotas = [title for data, title in drawn if b">quota<" in base64.b64decode(data)]
    assert with_quotas == ["Domains", "Types of negatives", "Difficulty", "Intent"]
    rest = ["Lengths", "Label balance", "Judge agreement", "Acceptance by stage", "Cost"]
    assert [title for _, title in drawn] == with_quotas + rest


def test_a_run_is_exported_from_its_journal_alone(run_folder: Path, tmp_path: Path) -> None:
    tallies = write_audit(run_folder, tmp_path / "a.html")
    about = export([Source(run_folder)], tmp_path / "out.jsonl", ExportOptions())
    assert about.rows == tallies.records
    assert about.licences == dict.fromkeys(("CC-BY-4.0", "CC0-1.0"), about.rows)
    records = list(read_records(tmp_path / "out.jsonl"))
    assert all(one.votes and (one.votes.true > one.votes.false) == one.relevant for one in records)


BLUE = (47, 111, 159)  # of the bars
AGAINST = (251, 241, 238)  # of a verdict "not relevant"


def test_a_browser_shows_the_charts_and_the_examples(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    require("chromium", present=chromium is not None, remedy="install the package chromium")
    source = records_file(tmp_path / "in.jsonl", mixed(150))
    write_audit(source, tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    (tmp_path / "a.html").write_text(html.replace(' class="agree">', ' class="agree" checked>'), encoding="utf-8")
    (tmp_path / "undecided.html").write_text(html, encoding="utf-8")
    decided, undecided = (_colours(tmp_path, name, Path(str(chromium))) for name in ("a.html", "undecided.html"))
    assert decided[BLUE] > 20_000  # the bars are drawn, so the page's own policy lets its pictures through
    assert decided[AGAINST] > 5_000  # the field of a verdict against, so the style is applied
    assert undecided[BLUE] > 20_000
    assert undecided[AGAINST] == 0, "no label is shown before one has decided"


def _colours(tmp_path: Path, name: str, chromium: Path) -> Counter[object]:
    """How many pixels of a screenshot have each colour."""
    from PIL import Image

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    picture = tmp_path / "page.png"
    subprocess.run(
        [str(chromium), *flags, "--window-size=1100,3500", f"--screenshot={picture}", f"file://{tmp_path / name}"],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    with Image.open(picture) as image:
        return Counter({colour: count for count, colour in image.convert("RGB").getcolors(1 << 24) or []})


def test_a_file_made_of_a_run_says_what_the_run_has_spent(run_folder: Path, tmp_path: Path) -> None:
    """Straight from the run, or from a file that was itself made from it."""
    spent = read_totals(run_folder).cost
    assert export([Source(run_folder)], tmp_path / "out.jsonl", ExportOptions()).cost == spent > 0
    assert main(["verify", str(run_folder), str(tmp_path / "kept.jsonl"), "--filters", "length"]) == 0
    assert main(["export", str(tmp_path / "last.jsonl"), "--mix", str(tmp_path / "kept.jsonl")]) == 0
    kept, last = (json.loads((tmp_path / f"{name}.jsonl.about.json").read_text()) for name in ("kept", "last"))
    assert kept["cost"] == last["cost"] == spent
    assert kept["rows"] == last["rows"] == sum(1 for _ in read_records(tmp_path / "kept.jsonl")) > 0
    assert kept["licences"] == last["licences"] != {}
    assert kept["relevant"] == sum(one.relevant for one in read_records(tmp_path / "kept.jsonl"))


def test_a_cost_that_cannot_be_read_stops_an_export(run_folder: Path, tmp_path: Path) -> None:
    export([Source(run_folder)], tmp_path / "out.jsonl", ExportOptions())
    (tmp_path / "out.jsonl.about.json").write_text("{")
    with pytest.raises(BadInput, match=r"does not say what out\.jsonl cost .* Mend it or remove it"):
        export([Source(tmp_path / "out.jsonl")], tmp_path / "again.jsonl", ExportOptions())
    (tmp_path / "out.jsonl.about.json").unlink()
    assert export([Source(tmp_path / "out.jsonl")], tmp_path / "again.jsonl", ExportOptions()).cost == 0


def test_rejected_pairs_stand_with_their_reasons(run_folder: Path, tmp_path: Path) -> None:
    """Those of a run by the judges, those of a file that `verify` wrote by the filter that dropped them."""
    tallies = write_audit(run_folder, tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert f"the judges disagree with the label: {tallies.judged - tallies.records}" in page.text
    assert page.text.count("meant as ") == min(50, tallies.judged - tallies.records) > 0
    assert main(["verify", str(run_folder), str(tmp_path / "kept.jsonl"), "--filters", "length"]) == 0
    dropped = len((tmp_path / "kept.jsonl.dropped.jsonl").read_text(encoding="utf-8").splitlines())
    write_audit(tmp_path / "kept.jsonl", tmp_path / "b.html")
    assert Page((tmp_path / "b.html").read_text(encoding="utf-8")).text.count("meant as ") == min(50, dropped)


def test_a_corpus_run_shows_scores_thresholds_and_whole_groups(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        knobs = corpus_knobs(tmp_path / "corpus", endpoint.url)
        run(RunSettings(**knobs), StringIO())
    folder = tmp_path / "corpus" / "run"
    write_audit(folder, tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    queries = list(scored_queries(folder))
    between = sum(3 < score < 8 for query in queries for score in query.scores.values())
    assert f"up to 3 a negative, from 8 a positive, {between} between them without a label" in page.text
    assert page.source.count('<div class="group">') == min(20, len(queries))
    for query in queries:
        assert all(text in page.text for text in query.texts.values())
    assert "written for this one" in page.text


def test_the_verdict_in_words() -> None:
    agreed = [record(n, relevant=n % 2 == 0, votes=Votes(true=3 * (n % 2 == 0), false=3 * (n % 2))) for n in range(20)]
    assert (
        verdict(tallied(agreed), None) == "Nothing in the figures speaks against training on this; read the examples."
    )
    split = Tallies(Sample(9, 0))
    for one in agreed:
        split.add_judged(one)
    for one in agreed[:9]:
        split.add(one)
    assert verdict(split, None).startswith("Do not train on this yet: judge and writer disagree on 55 % of the pairs.")
    scores = Scores(3, 8, 5, 0)
    for number in range(10):
        scores.add(ScoredQuery(str(number), "q", "d", {"a": 5, "b": 4, "c": 9 if number < 2 else 2}))
    said = verdict(tallied(agreed), scores)
    assert "67 % of the scored pairs lie between 3 and 8" in said
    assert "80 % of the queries have no passage that answers" in said
    assert verdict(Tallies(Sample(1, 0)), None) == "There is no example."


def test_examples_can_be_narrowed_to_a_kind(tmp_path: Path) -> None:
    page = render(Facts("x", tallied([record(n, domain="<b>", relevant=n % 2 == 0) for n in range(4)])))
    names = re.findall(r'<option value="(k[0-9a-f]{8})">([^<]*)</option>', page)
    assert [name for _, name in names] == ["domain: &lt;b&gt;", "label: not relevant", "label: relevant"]
    for key, name in names:
        assert page.count(f"article:not(.{key})") == 1
        assert len(re.findall(rf'<article class="[^"]*{key}', page)) == (4 if name.startswith("domain") else 2)
