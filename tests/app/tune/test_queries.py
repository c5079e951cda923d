"""Passages, the choice of what is held out, queries made of documents, and the user's own."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from app.tune.documents.choosing import chosen_passages, held_out_documents
from app.tune.documents.document import Document, Section
from app.tune.documents.passages import LEAST, MOST, Passage, passages_of
from app.tune.documents.reading import Source
from app.tune.queries.made import HEADING, QUESTION, WORDS, Query, make_queries
from app.tune.queries.own import LONGEST, read_queries
from cli.errors import BadInput
from retrieval.words import count_words

SENTENCE = "The {} of the garden wants {} litres of water on a dry day in summer."


def document(name: str, sections: int = 3, sentences: int = 2) -> Document:
    text = [
        " ".join(SENTENCE.format(name, 10 * place + number) for number in range(sentences)) for place in range(sections)
    ]
    return Document(name, name, tuple(Section((f"Part {place} of {name}",), text[place]) for place in range(sections)))


def chosen(documents: list[Document], most: int = 1000, wanted: frozenset[str] = frozenset()) -> list[Passage]:
    return chosen_passages(documents, most, wanted, lambda seen, kept: None)[0]


def test_passages_hold_whole_sentences_within_bounds() -> None:
    long = Section(("A",), " ".join(SENTENCE.format("pond", number) for number in range(60)))
    endless = Section(("B",), "word " * 500)
    short = Section(("C",), "Too short.")
    listed = Section(("D",), "\n\n".join(f"Point {number} says little." for number in range(40)))
    found = list(passages_of(Document("d", "D", (long, endless, short, listed))))
    assert {passage.headings for passage in found} == {("A",), ("B",), ("D",)}
    assert all(LEAST <= count_words(passage.text) <= MOST + LEAST for passage in found)
    assert all(passage.text.endswith(".") for passage in found if passage.headings == ("A",))
    assert " ".join(passage.text for passage in found if passage.headings == ("A",)) == long.text
    assert len({passage.id for passage in found}) == len(found)


def test_documents_are_drawn_by_their_ids_whatever_their_order() -> None:
    documents = [document(f"d{number}") for number in range(40)]
    few = chosen(documents, 30)
    assert 30 <= len(few) <= 32
    assert few == chosen(documents[::-1], 30)
    assert {passage.id for passage in few} < {passage.id for passage in chosen(documents, 60)}
    unlucky = next(name for name in (each.id for each in documents) if name not in {p.document for p in few})
    assert unlucky in {passage.document for passage in chosen(documents, 30, frozenset({unlucky}))}


def test_a_text_that_stands_twice_is_one_passage() -> None:
    assert len(chosen([document("a"), Document("b", "b", document("a").sections)])) == 3


def test_a_fifth_of_the_documents_is_held_out_or_what_is_judged() -> None:
    passages = chosen([document(f"d{number}") for number in range(20)])
    held_out = held_out_documents(passages, ())
    assert len(held_out) == 4
    assert held_out == held_out_documents(passages[::-1], ())
    assert held_out_documents(passages, {"d3", "d5", "gone"}) == ["d3", "d5"]
    with pytest.raises(BadInput, match="None of the 1 documents that --queries calls relevant"):
        held_out_documents(passages, {"gone"})
    with pytest.raises(BadInput, match="name 19 of 20 documents"):
        held_out_documents(passages, {f"d{number}" for number in range(19)})


def test_a_corpus_of_one_document_is_refused_in_a_sentence() -> None:
    with pytest.raises(BadInput, match="There is 1 document with text, and 4 are the least"):
        held_out_documents(chosen([document("a", sections=30)]), ())


def test_queries_of_headings_questions_and_words(documents: Path) -> None:
    passages = chosen(list(Source(documents).documents()))
    held_out = frozenset(held_out_documents(passages, ()))
    queries, texts = make_queries(passages, held_out, 20, 6)
    counts = Counter((query.kind, query.held_out) for query in queries)
    assert counts[HEADING, False] >= 13
    assert counts[HEADING, False] + counts[WORDS, False] <= 20
    assert 0 < counts[HEADING, True] + counts[WORDS, True] <= 6
    by_id = {passage.id: passage for passage in texts}
    assert [passage.id for passage in texts] == [passage.id for passage in passages]
    for query in queries:
        for name in query.relevant:
            assert (by_id[name].document in held_out) is query.held_out
            if query.kind == HEADING:
                assert query.text == by_id[name].headings[-1]
    assert make_queries(passages, held_out, 20, 6) == (queries, texts)


def test_a_question_leaves_its_passage() -> None:
    asked = "How much water does a pond of this size want?"
    rest = " ".join(SENTENCE.format("pond", number) for number in range(3))
    ((query,), (left,)) = make_queries([Passage("p", "d", "D", 0, (), f"{rest} {asked}")], frozenset(), 10, 10)
    assert (query.kind, query.text, query.relevant) == (QUESTION, asked, {"p": 1})
    assert left.text == rest


def test_a_heading_that_others_have_too_is_told_apart_by_what_is_above_it() -> None:
    def named(document: str) -> Passage:
        return Passage(f"{document}#0", document, f"The {document} guide", 0, ("Usage",), "word " * 5)

    queries, _ = make_queries([named("pond"), named("rose")], frozenset(), 10, 10)
    assert {query.text for query in queries if query.kind == HEADING} == {
        "The pond guide Usage",
        "The rose guide Usage",
    }


def test_a_query_of_both_sides_is_held_out() -> None:
    def passage(name: str) -> Passage:
        return Passage(
            f"{name}#0", name, name, 0, (), "Is this the water that the garden wants? " + "word and more. " * 10
        )

    queries, _ = make_queries([passage("a"), passage("b")], frozenset({"b"}), 10, 10)
    assert [(query.text, query.held_out) for query in queries if query.kind == QUESTION] == [
        ("Is this the water that the garden wants?", True)
    ]


def test_own_queries_as_lines_and_as_rows(tmp_path: Path) -> None:
    lines, rows = tmp_path / "lines.txt", tmp_path / "rows.jsonl"
    lines.write_bytes("how to fill a pond\n\nHow to fill  a pond\nwo wächst Moos\n".encode("cp1252"))
    assert [query.text for query in read_queries(lines)] == ["how to fill a pond", "wo wächst Moos"]
    rows.write_text(
        '{"query": "a", "relevant": ["x.md", "y.md"]}\n'
        '{"text": "b", "relevant": {"x.md": 2, "y.md": 0}}\n{"query": "c"}\n',
        encoding="utf-8",
    )
    assert [dict(query.relevant) for query in read_queries(rows)] == [{"x.md": 1, "y.md": 1}, {"x.md": 2}, {}]
    assert read_queries(None) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no query; write one a line."),
        (b'{"relevant": []}\n', "row 1: it has no text"),
        (b'{"query": "a", "relevant": "x"}\n', "row 1: 'relevant' must be a list of document ids"),
        (b'{"query": "a", "relevant": {"x": -1}}\n', "row 1: 'relevant' must be a list of document ids"),
        (b"a\x00" * 9, "holds zero bytes"),
        (b"word " * (LONGEST + 1), f"has {LONGEST + 1} words, and {LONGEST} are the most"),
    ],
)
def test_queries_that_cannot_be_used(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "queries"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_queries(path)
    assert sentence in str(refused.value)


def test_a_file_of_queries_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    with (tmp_path / "queries").open("wb") as file:
        os.truncate(file.fileno(), 2 * 2**30)  # takes no room
    with pytest.raises(BadInput, match="has more than the 64 MiB that are read"):
        read_queries(tmp_path / "queries")
    with pytest.raises(BadInput, match="cannot be read"):
        read_queries(tmp_path)


def test_a_query_survives_its_row() -> None:
    query = Query("a", "b", "own", {"x": 2}, True, by_document=True)
    row = {"id": "a", "text": "b", "kind": "own", "relevant": {"x": 2}, "held_out": True, "by_document": True}
    assert Query.from_row(row) == query
