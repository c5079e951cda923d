"""What traces are made of: stretches to quote, reasons, words, and the check that rejects what does not hold."""

from __future__ import annotations

import pytest

from contract.evidence import read_evidence, stands_in
from contract.records import NegativeType
from recipes.limrank_mini.evidence.checking import fault
from recipes.limrank_mini.evidence.quotations import MOST_WORDS, stretch_of, stretches, window
from recipes.limrank_mini.evidence.reasons import ELSE, TOUCHES, Reasons
from recipes.limrank_mini.evidence.wording import MOST_ASKED, Kind, asked, kind_of, trace

PASSAGE = (
    "Gout is a kind of arthritis. Colchicine eases an attack, and allopurinol lowers the uric acid; both are taken by "
    'mouth. "Rest helps," says one doctor.\nYear | Cases\n1990 | 12,000'
)


def quoted(text: str) -> list[str]:
    return [text[start:end] for start, end in stretches(text)]


def words(text: str) -> int:
    """In place of a tokenizer."""
    return len(text.split())


def test_stretches_are_sentences_and_lines_without_quotes_of_their_own() -> None:
    found = quoted(PASSAGE)
    assert found[0] == "Gout is a kind of arthritis."
    assert "Colchicine eases an attack, and allopurinol lowers the uric acid; both are taken by mouth." in found
    assert "1990 | 12,000" not in found  # a few words are quoted only where there is nothing else
    assert quoted("1990 | 12,000") == ["1990 | 12,000"]
    assert not any('"' in part for part in found)
    assert all(stands_in(part, PASSAGE) for part in found)


def test_neither_a_title_nor_a_question_is_quoted() -> None:
    text = "Blue gout Blue gout: how is it treated? Blue gout is treated with rest and colchicine."
    assert quoted(text) == ["Blue gout is treated with rest and colchicine."]
    titled = "On metals Iron rusts in wet air within days."
    assert [titled[slice(*span)] for span in stretches(titled, 10)] == ["Iron rusts in wet air within days."]


def test_a_long_sentence_is_quoted_in_parts_of_whole_clauses() -> None:
    clauses = [f"the {name} one has been counted by many people over the years" for name in ("first", "next", "last")]
    text = f"It is said that {', '.join(clauses)}."
    found = quoted(text)
    assert len(found) > 1
    assert all(len(part.split()) <= MOST_WORDS for part in found)
    assert all(part in text and not part.endswith(",") for part in found)
    assert found[-1].endswith("the years.")


@pytest.mark.parametrize(
    "text", ["北京是中国的首都。它有两千多万居民。", "Столица России — Москва. Она стоит на реке."]
)
def test_other_scripts_have_stretches_too(text: str) -> None:
    assert len(quoted(text)) == 2


def test_the_known_evidence_is_found_within_its_passage() -> None:
    def wanted(said: str) -> float:
        return "allopurinol" in said

    place = stretch_of("Colchicine eases an attack, and allopurinol lowers the uric acid;", PASSAGE, wanted)
    assert place is not None
    assert "allopurinol" in PASSAGE[slice(*place)]
    assert stretch_of("Nothing of the kind.", PASSAGE, wanted) is None
    assert stretch_of("1990 | 12,000", PASSAGE, wanted) is not None


def test_a_window_keeps_what_is_quoted_and_is_a_slice() -> None:
    keep = (PASSAGE.index("1990"), len(PASSAGE))
    cut, place = window(PASSAGE, keep, 12, words)
    assert place is not None
    assert (words(cut) <= 12, cut in PASSAGE) == (True, True)
    assert cut[slice(*place)] == PASSAGE[slice(*keep)]
    assert window(PASSAGE, None, 6, words) == ("Gout is a kind of arthritis.", None)
    assert window(PASSAGE, keep, 1000, words) == (PASSAGE, keep)
    alone, place = window(PASSAGE, keep, 1, words)
    assert (alone, place) == (PASSAGE[slice(*keep)], (0, keep[1] - keep[0]))


CORPUS = [PASSAGE, *(f"Some text number {number} on gardens and rain." for number in range(100))]


def test_a_reason_names_what_the_passage_lacks_or_what_it_has_in_common() -> None:
    reasons = Reasons(CORPUS)
    assert reasons.why("Who treated Simon Nash's gout?", PASSAGE, None) == "the passage never mentions Simon Nash"
    assert reasons.why("what is colchicine in anatomy", PASSAGE, None).startswith("the passage mentions colchicine,")
    assert reasons.why("Wer heilt Arthritis?", PASSAGE, None, foreign=True).startswith("the passage mentions Arthritis")
    assert reasons.why("How is malaria treated?", PASSAGE, None) == "the passage never mentions malaria"
    shared = "the passage mentions allopurinol, but tells something else"
    assert reasons.why("allopurinol", PASSAGE, None) == shared
    assert reasons.why("What is it?", PASSAGE, None) == ELSE
    assert reasons.why("How is malaria treated?", PASSAGE, NegativeType.PARTIAL) == TOUCHES


@pytest.mark.parametrize(
    ("word", "text"),
    [("pyramids", "A pyramid of stone."), ("Jackson's", "Jackson left."), ("treated", "Treatments vary.")],
)
def test_another_form_of_a_word_counts_as_mentioned(word: str, text: str) -> None:
    assert "never mentions" not in Reasons([*CORPUS, text]).why(word, text, None)


def test_long_queries_are_repeated_in_part_and_literally() -> None:
    query = (
        "I have been reading about metals for a while. My uncle says that iron rusts in wet air while gold does not. "
        "Why does gold stay bright for thousands of years even when it lies in the sea?"
    )
    said = asked(query, "Gold does not react with oxygen.")
    assert stands_in(said, query)
    assert said.startswith("Why does gold")
    assert len(said.split()) <= MOST_ASKED
    long = query.replace("in the sea", "in the sea or below the ground of a wet and salty country")
    said = asked(long, "Gold does not react with oxygen.")
    assert f"{said} ... " in trace("a", long, said, "x", reason=None, kind=Kind.QUESTION, instructed=False)
    assert asked('Who said "no" to that?', "x") == "Who said"


@pytest.mark.parametrize(
    ("query", "record_id", "kind"),
    [
        ("how is gout treated", "general/q1/0", Kind.QUESTION),
        ("gout treatment", "general/q1/0", Kind.SEARCH),
        ("Gout is treated with colchicine.", "claim/s/q1/0", Kind.STATEMENT),
        ("Some sentences of a text.", "long/s/p1/0", Kind.TEXT),
        ("北京在哪里", "general/q1/0", Kind.QUESTION),
    ],
)
def test_the_kind_of_a_query(query: str, record_id: str, kind: Kind) -> None:
    assert kind_of(query, record_id) is kind


SAID = "malaria drugs"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("instructed", [True, False])
@pytest.mark.parametrize("reason", [None, "the passage never mentions malaria", ELSE, TOUCHES])
def test_every_wording_is_read_back_as_it_was_meant(kind: Kind, instructed: bool, reason: str | None) -> None:
    for number in range(12):
        text = trace(str(number), SAID, SAID, PASSAGE[:28], reason=reason, kind=kind, instructed=instructed)
        found = read_evidence(text)
        assert (found.quotation, found.relevant) == (PASSAGE[:28], reason is None)
        assert fault(text, SAID, f"cheap {SAID}", PASSAGE, relevant=reason is None) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("Gout is", "Gout was"), "quotation is not in the passage"),
        (('"', "'"), "no quotation"),
        (("is relevant", "is not relevant"), "words disagree with the verdict"),
        (("malaria drugs", "other drugs"), "what is asked is not in the query's words"),
    ],
)
def test_a_trace_that_does_not_hold_is_named(change: tuple[str, str], expected: str) -> None:
    text = trace("a", SAID, SAID, PASSAGE[:28], reason=None, kind=Kind.SEARCH, instructed=False)
    assert fault(text.replace(*change), SAID, SAID, PASSAGE, relevant=True) == expected


def test_words_that_are_not_the_querys_are_a_fault() -> None:
    text = trace("a", SAID, "other drugs", PASSAGE[:28], reason=None, kind=Kind.SEARCH, instructed=False)
    assert fault(text, "other drugs", SAID, PASSAGE, relevant=True) == "what is asked is not in the query's words"
