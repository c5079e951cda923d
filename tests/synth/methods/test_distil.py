"""Distillation: what is cut and asked, with whom a query is paired, and that the bi-encoder's similarities decide."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import Record, read_records
from retrieval.retriever import Hit
from service.models.embedded_cross_encoder import packaged_encoder
from synth.cli import main
from synth.methods.distil.chunks import LONGEST, SHORTEST, chunks
from synth.methods.distil.distilling import EVEN, relevance
from synth.methods.distil.pairing import pairing
from synth.methods.distil.queries import MOST, OPENINGS, query_from
from synth.sources.first_stages import vector_index
from tests.synth.examples import beir_folder

SUBJECTS = {
    "tides": "the moon pulls the water of the sea towards it and every harbour has two floods a day",
    "bread": "the baker folds the sourdough twice before it rises and scores the loaf with a razor blade",
    "chess": "the bishop keeps to the colour of its first square while the knight changes it with each move",
    "bees": "the workers dance to tell the colony in which direction and how far away the flowers are",
    "glass": "the furnace melts sand and soda until the glower can gather them on the end of a pipe",
    "tax": "the revenue office refunds what an employer withheld beyond the amount that was owed",
}
FLAGS = (
    "--source",
    "almanac",
    "--licence",
    "CC0-1.0",
    "--bi-encoder-licence",
    "Apache-2.0",
    "--queries",
    "40",
    "--passages",
    "80",
)

PLACES = ("Lisbon", "Oslo", "Quito", "Hanoi", "Dakar", "Perth")

texts = st.lists(st.text(alphabet="abcdefghij ,;()-'", max_size=300), max_size=12).map(". ".join)


@pytest.fixture(scope="module")
def minilm() -> Path:
    return packaged_encoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six subjects in six places; the last is judged in the test split alone, and each document repeats its words."""
    place = tmp_path_factory.mktemp("almanac")
    documents = {f"{name}-{town}": (name, town, text) for name, text in SUBJECTS.items() for town in PLACES}
    for split in ("train", "test"):
        corpus = [
            {"_id": document, "title": "", "text": f"People of {town} know that {text}. " * 4}
            for document, (_, town, text) in documents.items()
        ]
        queries = [{"_id": f"q-{document}", "text": f"what of {document}"} for document in documents]
        own = [document for document, (name, _, _) in documents.items() if (name == "tax") == (split == "test")]
        beir_folder(place, corpus, queries, [(f"q-{document}", document, 1) for document in own], split)
    return place


@pytest.fixture(scope="module")
def records(folder: Path, minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    out = tmp_path_factory.mktemp("distilled") / "r.jsonl"
    assert main(["distil", str(folder), str(out), "--bi-encoder", str(minilm), *FLAGS]) == 0
    return list(read_records(out))


@given(texts)
def test_chunks_are_whole_sentences_in_their_order(text: str) -> None:
    sentences = [one for one in re.split(r"(?<=[.!?])\s+", text.strip()) if 0 < len(one.split()) <= LONGEST]
    made = list(chunks("d", text))
    assert " ".join(sentences).startswith(" ".join(made))
    assert all(len(one.split()) < 2 * LONGEST for one in made)
    assert all(len(one.split()) >= SHORTEST for one in made[:-1])
    assert made == list(chunks("d", text))


@given(texts, st.text(max_size=8))
def test_a_query_is_words_of_its_passage_behind_an_opening(text: str, key: str) -> None:
    query = query_from(text, key)
    assert query == query_from(text, key)
    if query is None:
        return
    rest = next((query[len(one) + 1 :] for one in sorted(OPENINGS, key=len) if query.startswith(f"{one} ")), query)
    spoken = {word.strip(" ,;:()?.\"'") for word in text.lower().split()}
    assert {*rest.split()} <= spoken or {*query.split()} <= spoken
    assert 0 < len(rest.split()) <= MOST
    assert max(map(len, rest.split())) >= 5


def test_six_queries_in_ten_are_opened_as_questions_are() -> None:
    made = [query_from(text, str(number)) for text in SUBJECTS.values() for number in range(100)]
    asked = [one for one in made if one is not None]
    assert len(asked) > 500
    opened = sum(one.startswith(OPENINGS) for one in asked) / len(asked)
    assert 0.5 < opened < 0.7


@given(st.text(max_size=6), st.lists(st.integers(0, 29), unique=True, max_size=30), st.integers(0, 29))
def test_a_query_meets_its_own_passage_first_and_none_twice(key: str, found: list[int], own: int) -> None:
    hits = [Hit(index, 1.0) for index in found]
    indexes = pairing(key, own, hits, hits[::-1], size=30)
    assert indexes[0] == own
    assert len(indexes) == len(set(indexes)) <= 7
    assert all(0 <= index < 30 for index in indexes)
    assert set([index for index in found if index != own][:2]) <= set(indexes)


def test_relevance_grows_with_the_cosine_and_is_even_once() -> None:
    assert relevance(EVEN) == 0.5
    steps = [relevance(cosine / 20) for cosine in range(21)]
    assert steps == sorted(steps)
    assert steps[0] < 0.01
    assert steps[-1] > 0.99


def test_similarities_are_the_search_s_own(minilm: Path) -> None:
    passages = list(SUBJECTS.values())
    encoder = vector_index(passages, minilm)
    asked = ["how are loaves made", "what do bees tell each other"]
    for query, row in zip(asked, encoder.similarities(asked, [[1, 0], [5, 3]]), strict=True):
        scores = {hit.index: hit.score for hit in encoder.search([query], len(passages))[0]}
        picked = [1, 0] if query == asked[0] else [5, 3]
        assert np.allclose(row, [scores[index] for index in picked], atol=1e-5)


def test_verdicts_follow_the_bi_encoder(records: list[Record], minilm: Path) -> None:
    passages = sorted({record.passage for record in records})
    encoder = vector_index(passages, minilm)
    places = [[passages.index(record.passage)] for record in records]
    cosines = [row[0] for row in encoder.similarities([record.query for record in records], places)]
    near = [one.relevant for one, cosine in zip(records, cosines, strict=True) if relevance(cosine) > 0.6]
    far = [one.relevant for one, cosine in zip(records, cosines, strict=True) if relevance(cosine) < 0.1]
    assert len(far) > 10
    assert sum(far) / len(far) < 0.2
    assert len(near) > 5
    assert sum(near) / len(near) > 0.5


def test_records_are_direct_and_say_where_they_are_from(records: list[Record]) -> None:
    assert len({record.id for record in records}) == len(records)
    assert {(one.source, one.licence, one.domain, one.trace) for one in records} == {
        ("almanac", "Apache-2.0 AND CC0-1.0", "general", None)
    }


def test_what_another_split_alone_judges_is_left_out(records: list[Record]) -> None:
    assert not [record for record in records if "revenue" in record.passage]
    assert len({name for name, text in SUBJECTS.items() for record in records if text in record.passage}) >= 4


def test_excluded_documents_are_left_out_and_bytes_are_the_same(
    records: list[Record], folder: Path, minilm: Path, tmp_path: Path
) -> None:
    assert [record for record in records if "harbour" in record.passage]
    excluded = tmp_path / "excluded.txt"
    excluded.write_text("\n".join(f"{name}-{town}" for name in ("tides", "bees") for town in PLACES))
    outs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for out in outs:
        flags = [*FLAGS, "--bi-encoder", str(minilm), "--excluded", str(excluded)]
        assert main(["distil", str(folder), str(out), *flags]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert not [record for record in read_records(outs[0]) if "harbour" in record.passage or "colony" in record.passage]


def test_a_corpus_file_does_as_well(folder: Path, minilm: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    assert main(["distil", str(folder / "corpus.jsonl"), str(out), "--bi-encoder", str(minilm), *FLAGS]) == 0
    assert [record for record in read_records(out) if "revenue" in record.passage]


def test_a_corpus_without_a_sentence_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus.jsonl"
    out = tmp_path / "r.jsonl"
    for texts, sentence in (
        (["a b c"], "None of 1 documents has 20 words in sentences of up to 90"),
        ([], "No document is left to make queries of"),
        (["so it is and so it was. " * 9], "give a corpus of prose"),
        (["a b c", "d e f"], "row 2: the id '1' was given at row 1"),
    ):
        corpus.write_text("".join(f'{{"_id": "1", "title": "", "text": "{text}"}}\n' for text in texts))
        assert main(["distil", str(corpus), str(out), "--bi-encoder", "nowhere", *FLAGS]) == 2
        assert sentence in capsys.readouterr().err
        assert not out.exists()
