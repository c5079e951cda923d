"""Candidates, thresholds and groups of the corpus method."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import Difficulty, Group, Intent, NegativeType, Record
from synth.errors import BadInput, BadSettings
from synth.llm.stage import Row, Stage, Value
from synth.methods.corpus.candidates import (
    Candidate,
    Candidates,
    SyntheticQuery,
    interleave,
    mine_candidates,
    read_candidates,
)
from synth.methods.corpus.documents import DocumentStore, build_documents
from synth.methods.corpus.groups import CorpusLabels, groups
from synth.methods.corpus.inputs import corpus_inputs
from synth.methods.corpus.judge import PairRow, Score, judge_stage
from synth.methods.corpus.queries import Example
from synth.methods.corpus.settings import CorpusSettings
from synth.pipeline import examples, run
from synth.run.origin import Origin
from synth.settings import RunSettings
from tests.synth.endpoint import Fault, ScriptedEndpoint
from tests.synth.examples import beir_folder, on_a_full_disk
from tests.synth.runs import corpus_knobs

NUMBERS = st.lists(st.integers(0, 30), unique=True, max_size=8)


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    rows = ((f"d{n}", f"Title {n} text {n} about thing{n}") for n in range(8))
    build_documents(tmp_path / "documents.sqlite", rows)
    return DocumentStore(tmp_path / "documents.sqlite")


@given(st.integers(0, 30), NUMBERS, NUMBERS)
def test_candidates_are_each_document_once_the_own_one_first(own: int, lexical: list[int], dense: list[int]) -> None:
    found = interleave(own, [(NegativeType.BM25, lexical), (NegativeType.BI_ENCODER, dense)])
    numbers = [candidate.number for candidate in found]
    assert numbers[0] == own
    assert sorted(numbers) == sorted({own, *lexical, *dense})
    for candidate in found[1:]:
        ranks = {
            NegativeType.BM25: lexical.index(candidate.number) if candidate.number in lexical else 99,
            NegativeType.BI_ENCODER: dense.index(candidate.number) if candidate.number in dense else 99,
        }
        assert ranks[candidate.by] == min(ranks.values())


def test_a_passage_is_title_and_text_cut_at_a_blank(store: DocumentStore) -> None:
    assert len(store) == 8
    assert (store.id(3), store.passage(3)) == ("d3", "Title 3 text 3 about thing3")
    assert store.passage(3, 14) == "Title 3 text 3"
    assert store.passage(3, 17) == "Title 3 text 3"
    assert store.passage(3, 3) == "Tit"
    assert list(store.passages())[3] == store.passage(3)


def test_candidates_are_mined_once_for_the_same_queries(tmp_path: Path, store: DocumentStore) -> None:
    path, settings = tmp_path / "candidates.jsonl", CorpusSettings(candidates=3)
    queries = [SyntheticQuery(f"q{n}", f"thing{n} text", Difficulty.DIRECT, n) for n in (1, 5)]
    mine_candidates(path, queries, store, settings)
    total, found = read_candidates(path)
    listed = list(found)
    assert total == len(listed) == 2
    assert [row.query for row in listed] == queries
    assert [row.candidates[0].number for row in listed] == [1, 5]
    assert all(3 <= len(row.candidates) <= 4 for row in listed)
    before = path.stat().st_mtime_ns
    mine_candidates(path, queries, store, settings)
    assert path.stat().st_mtime_ns == before
    mine_candidates(path, queries[:1], store, settings)
    assert read_candidates(path)[0] == 1


class Scores:
    """An asker that gives each passage its score, or none."""

    def __init__(self, scores: dict[str, int | None]) -> None:
        self._scores = scores

    async def ask(self, stage: Stage[Row, Value], row: Row, input_id: str, vote: int = 1) -> Any:
        assert isinstance(row, PairRow)
        score = self._scores[row.passage]
        return None if score is None else Score(reasoning=f"score {score}", score=score)


def test_thresholds_make_the_labels_and_leave_the_middle_out(store: DocumentStore) -> None:
    scores: dict[str, int | None] = dict(zip(store.passages(), [3, 8, 4, 10, 7, 0, None, 9], strict=True))
    origin = Origin("ours", "CC0-1.0")
    labels = CorpusLabels(origin, CorpusSettings(positive_from=8, negative_to=3, domain="d"), store, judge_stage())
    query = SyntheticQuery("q", "what?", Difficulty.MULTI_STEP, 0)
    by = [NegativeType.BM25, NegativeType.BI_ENCODER]
    found = Candidates(query, tuple(Candidate(number, by[number % 2]) for number in range(8)))
    records = asyncio.run(labels.records(found, Scores(scores)))
    assert [(record.id, record.relevant, record.negative_type) for record in records] == [
        ("q/d1", True, None),
        ("q/d3", True, None),
        ("q/d7", True, None),
        ("q/d0", False, NegativeType.BM25),
        ("q/d5", False, NegativeType.BI_ENCODER),
    ]
    assert [record.trace for record in records] == ["score 8", "score 10", "score 9", "score 3", "score 0"]
    assert {(record.difficulty, record.domain, record.intent) for record in records} == {("multi_step", "d", "direct")}


def record(query: str, number: int, relevant: bool) -> Record:
    return Record(
        id=f"{query}/{number}",
        query=query,
        passage=f"passage {number}",
        relevant=relevant,
        source="ours",
        licence=f"L-{number % 2}",
        domain="d",
        difficulty=Difficulty.DIRECT,
        intent=Intent.DIRECT,
    )


@given(st.lists(st.lists(st.booleans(), max_size=6), max_size=5), st.integers(1, 4))
def test_each_positive_makes_a_group_with_its_query_s_first_negatives(labels: list[list[bool]], most: int) -> None:
    by_query = [[record(f"q{n}", m, label) for m, label in enumerate(row)] for n, row in enumerate(labels)]
    made = list(groups((one for together in by_query for one in together), most))
    expected = [
        (one.id, one.passage, tuple(other.passage for other in together if not other.relevant)[:most])
        for together in by_query
        for one in together
        if one.relevant and not all(other.relevant for other in together)
    ]
    assert [(group.id, group.positive, group.negatives) for group in made] == expected


def test_a_group_holds_every_licence_that_went_into_it() -> None:
    (group,) = groups([record("q", 0, True), record("q", 1, False), record("q", 3, False)], 2)
    assert isinstance(group, Group)
    assert group.licence == "L-0 AND L-1"


def test_a_run_that_has_not_reached_its_candidates_says_so(tmp_path: Path) -> None:
    with ScriptedEndpoint(script=lambda *_: Fault(401, "{}")) as endpoint:
        knobs = corpus_knobs(tmp_path, endpoint.url)
        with pytest.raises(Exception, match="refused the key"):
            run(RunSettings(**knobs), StringIO())
    with pytest.raises(BadInput, match="has no candidates yet: its run has not reached them"):
        list(examples(knobs["run"]))


def test_queries_with_the_same_text_are_judged_once_and_surplus_ones_are_left_out(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Fault | None:
        asks = "example query" in body["messages"][1]["content"]
        return Fault(content=json.dumps({"queries": ["the same rose", "one too many"]})) if asks else None

    with ScriptedEndpoint(script=script) as endpoint:
        knobs = corpus_knobs(tmp_path, endpoint.url)
        knobs["corpus"]["bi_encoder"] = ""
        run(RunSettings(**knobs), StringIO())
        judged = endpoint.counts.requests - 10
    assert judged <= 7
    assert {found.query for found in examples(knobs["run"])} <= {"the same rose"}


def test_a_full_disk_leaves_no_half_a_store(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from synth.methods.corpus.documents import build_documents\n"
        "from synth.errors import DiskFull\n"
        f"rows = ((f'd{{n}}', 'text ' * 300) for n in range(1000))\n"
        f"try: build_documents(Path({str(tmp_path / 'documents.sqlite')!r}), rows)\n"
        "except DiskFull as error: print(error)"
    )
    done = on_a_full_disk(code, 100_000)
    assert done.returncode == 0, done.stderr
    assert "documents.sqlite: the disk takes no more documents (" in done.stdout
    assert "choose another folder for the run" in done.stdout
    assert list(tmp_path.iterdir()) == []


def garden(folder: Path) -> Path:
    """A BEIR folder of our own: three plants that train, one that tests, one that nobody judged."""
    plants = ("rose", "fern", "moss", "reed", "sage")
    corpus = [
        {"_id": plant, "title": plant, "text": f"A {plant} wants water on day {n}."} for n, plant in enumerate(plants)
    ]
    queries = [{"_id": f"q-{plant}", "text": f"what does a {plant} want"} for plant in plants]
    beir_folder(folder, corpus, queries, [("q-reed", "reed", 1), ("q-rose", "fern", 0)], "test")
    train = [("q-rose", "rose", 1), ("q-fern", "rose", 0), ("q-fern", "fern", 2), ("q-moss", "moss", 1)]
    return beir_folder(folder, corpus, queries, train)


def test_a_beir_folder_is_documents_and_examples_in_one(tmp_path: Path) -> None:
    excluded = tmp_path / "excluded.txt"
    excluded.write_text("moss\n", encoding="utf-8")
    inputs = corpus_inputs(CorpusSettings(documents=garden(tmp_path / "garden"), excluded=excluded))
    # reed is judged by the test split alone; fern by both, so it is the train split's; sage by none
    assert [name for name, _ in inputs.documents()] == ["rose", "fern", "sage"]
    assert inputs.examples() == [
        Example("what does a rose want", "rose A rose wants water on day 0."),
        Example("what does a fern want", "fern A fern wants water on day 1."),
    ]
    own = tmp_path / "own.jsonl"
    own.write_text('{"query": "how much water"}\n', encoding="utf-8")
    settings = CorpusSettings(documents=tmp_path / "garden", examples=own, split="test")
    assert corpus_inputs(settings).examples() == [Example("how much water")]
    assert [name for name, _ in corpus_inputs(settings).documents()] == ["fern", "reed", "sage"]


def test_a_run_over_a_beir_folder_needs_no_examples_and_no_second_licence(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        knobs = corpus_knobs(tmp_path, endpoint.url)
        corpus = {"documents": garden(tmp_path / "garden"), "documents_licence": "CC0-1.0", "domain": "gardens"}
        knobs["corpus"] = corpus | {"candidates": 4, "positive_from": 5, "negative_to": 4}
        run(RunSettings(**knobs), StringIO())
        asked = "\n".join(body["messages"][1]["content"] for body in endpoint.counts.log)
        knobs["corpus"]["split"] = "test"
        with pytest.raises(BadSettings, match="was begun with other inputs"):
            run(RunSettings(**knobs), StringIO())
    records = list(examples(knobs["run"]))
    assert {record.licence for record in records} == {"CC0-1.0"}
    assert {record.passage.split()[0] for record in records} <= {"rose", "fern", "moss", "sage"}
    assert len(records) >= 4
    assert "what does a rose want" in asked
    assert "reed" not in asked


def test_a_bad_row_of_a_beir_folder_stops_a_run_before_its_first_call(tmp_path: Path) -> None:
    folder = garden(tmp_path / "garden")
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "rose", "text": "again"}\n')
    settings = CorpusSettings(documents=folder)
    with pytest.raises(BadInput, match=r"corpus\.jsonl, row 6: the id 'rose' was given at row 1"):
        list(corpus_inputs(settings).documents())
    with pytest.raises(BadInput, match=r"has no split 'dev'; its splits are test, train"):
        corpus_inputs(settings.model_copy(update={"split": "dev"}))
