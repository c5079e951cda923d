"""Scripts without blanks through `limrank-synth`: import, verification, decontamination, chunks and distillation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.records import Record, read_records
from retrieval.words import count_words, cut_text, is_unspaced
from service.models.embedded_cross_encoder import packaged_encoder
from synth.audit.page import _part
from synth.cli import main
from synth.filters.decontamination import EvaluationSet, decontamination
from synth.filters.language import Language
from synth.filters.near_duplicates import NearDuplicates
from synth.methods.distil.chunks import chunks
from synth.methods.persona.personas import PersonaPool
from synth.methods.persona.settings import Domain
from synth.scratch import scratch
from tests.synth.examples import beir_folder, json_lines, record, records_file
from tests.unspaced import UNSPACED

LABELS = ["--source", "own", "--licence", "CC0-1.0"]
ENDS = {"ja": "。", "zh": "。", "th": " ", "km": "។", "lo": " ", "my": "။"}


def folder(place: Path, language: str) -> Path:
    corpus = [{"_id": f"d{at}", "title": "", "text": text} for at, (_, text) in enumerate(UNSPACED[language])]
    halves = [text[: len(text) // 2] for _, text in UNSPACED[language][1:]]  # so that it is no copy of a passage
    corpus.append({"_id": "d3", "title": "", "text": f"{UNSPACED[language][0][0]}{''.join(halves)}"})
    queries = [{"_id": f"q{at}", "text": text} for at, (text, _) in enumerate(UNSPACED[language])]
    return beir_folder(place, corpus, queries, [(f"q{at}", f"d{at}", 1) for at in range(3)])


def prose(language: str, sentences: int = 12) -> str:
    """A document of many sentences, made of the passages of the language."""
    texts = [text.rstrip("。។။") for _, text in UNSPACED[language]]
    return "".join(f"{texts[at % 3]}{texts[(at + 1) % 3]}{ENDS[language]}" for at in range(sentences))


@pytest.mark.parametrize("language", UNSPACED)
def test_imported_records_have_negatives_and_pass_verification(
    tmp_path: Path, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    records, kept = tmp_path / "r.jsonl", tmp_path / "kept.jsonl"
    assert main(["import", "beir", str(folder(tmp_path / "data", language)), str(records), *LABELS]) == 0
    imported = list(read_records(records))
    assert sum(found.relevant for found in imported) == 3
    assert any(not found.relevant for found in imported)
    assert main(["verify", str(records), str(kept), "--languages", f"{language},en"]) == 0
    assert list(read_records(kept)) == imported, capsys.readouterr().out
    other = "th" if language != "th" else "ja"
    assert main(["verify", str(records), str(kept), "--languages", f"{other},en"]) == 0
    assert list(read_records(kept)) == []


@pytest.mark.parametrize("language", UNSPACED)
def test_near_duplicates_are_found(language: str) -> None:
    query, passage = UNSPACED[language][0]
    text = prose(language)
    with scratch() as connection:
        filter_ = NearDuplicates(connection)
        assert filter_.reason(record(query=query, passage=f"{passage}{text}")) is None
        assert filter_.reason(record(query=query, passage=f"{passage}{text}{ENDS[language]}")) is not None
        assert filter_.reason(record(query=query, passage=UNSPACED[language][1][1])) is None


@pytest.mark.parametrize("language", UNSPACED)
def test_an_overlap_with_evaluation_data_is_found(tmp_path: Path, language: str) -> None:
    query, _ = UNSPACED[language][0]
    corpus = [{"_id": "d", "text": prose(language)}]
    beir_folder(tmp_path / "museum", corpus, [{"_id": "q", "text": query}], [("q", "d", 1)])
    with decontamination([EvaluationSet(tmp_path / "museum")]) as filter_:
        assert filter_.reason(record(query=query)) == "query overlaps with museum"
        long = prose(language, 2)
        assert count_words(long) >= 13
        assert filter_.reason(record(passage=long)) == "passage overlaps with museum"
        assert filter_.reason(record(passage=UNSPACED["ja" if language != "ja" else "th"][2][1])) is None


@pytest.mark.parametrize("language", UNSPACED)
def test_documents_are_cut_into_whole_sentences(language: str) -> None:
    text = prose(language, 20)
    made = list(chunks("d", text))
    assert made
    for chunk in made:
        assert 20 <= count_words(chunk) <= 180
        assert chunk.replace(" ", "") in text.replace(" ", ""), "only blanks between sentences may be added"


@pytest.mark.parametrize("language", ["ja", "th", "km"])
def test_a_corpus_is_distilled(tmp_path: Path, language: str, capsys: pytest.CaptureFixture[str]) -> None:
    short = {"_id": "short", "text": UNSPACED[language][0][1]}
    corpus = [{"_id": f"d{at}", "text": prose(language, 12 + at)} for at in range(4)]
    path, out = json_lines(tmp_path / "corpus.jsonl", [*corpus, short]), tmp_path / "r.jsonl"
    words = ["--bi-encoder", str(packaged_encoder()), "--bi-encoder-licence", "Apache-2.0", *LABELS]
    assert main(["distil", str(path), str(out), *words]) == 0
    said = capsys.readouterr().out
    assert "1 of 5 documents gave no passage" in said
    records = list(read_records(out))
    assert all(is_unspaced(found.query) for found in records)
    assert len({(found.query, found.passage) for found in records}) == len(records)


@pytest.mark.parametrize("language", UNSPACED)
def test_verify_drops_copies_and_what_stands_in_evaluation_data(tmp_path: Path, language: str) -> None:
    """By the command, on files: a copy with another ending, a passage of the evaluation's corpus and its query."""
    (query, passage), (other, _), _ = UNSPACED[language]
    clean = "".join(text[: len(text) // 2] for _, text in reversed(UNSPACED[language]))  # no run of 13 words
    rows = [
        record(0, query=query, passage=clean),
        record(1, query=query, passage=f"{clean}{ENDS[language]}"),
        record(2, query=query, passage=prose(language, 2)),
        record(3, query=other, passage=passage),
    ]
    corpus, queries = [{"_id": "d", "text": prose(language)}], [{"_id": "q", "text": other}]
    beir_folder(tmp_path / "museum", corpus, queries, [("q", "d", 1)])
    records, kept = records_file(tmp_path / "r.jsonl", rows), tmp_path / "kept.jsonl"
    flags = ["--languages", f"{language},en", "--evaluation", str(tmp_path / "museum"), "--overlap-common", "100"]
    assert main(["verify", str(records), str(kept), *flags]) == 0
    assert list(read_records(kept)) == rows[:1]
    dropped = [json.loads(line) for line in (tmp_path / "kept.jsonl.dropped.jsonl").read_text().splitlines()]
    assert {row["record"]["id"]: row["reason"] for row in dropped} == {
        "own/1": "query and passage nearly the same as an earlier record's",
        "own/2": "passage overlaps with museum",
        "own/3": "query overlaps with museum",
    }


SENTENCE = UNSPACED["ja"][0][1]


@pytest.mark.parametrize("language", UNSPACED)
@pytest.mark.parametrize("title", ["", "Sushi "])
def test_a_text_is_cut_at_a_word_and_not_at_its_title(language: str, title: str) -> None:
    """Behind a title the only blank of a passage may be the first of thousands of characters."""
    text = title + UNSPACED[language][0][1].replace(" ", "") * 3
    cut = cut_text(text, len(title) + 20)
    assert text.startswith(cut)
    assert len(title) + 5 < len(cut) <= len(title) + 20


@pytest.mark.parametrize(
    ("text", "characters", "cut"),
    [("one two three", 9, "one two"), ("one two three", 7, "one two"), ("onetwothree", 5, "onetw"), ("one", 9, "one")],
)
def test_texts_with_blanks_are_cut_at_them(text: str, characters: int, cut: str) -> None:
    assert cut_text(text, characters) == cut


def test_personas_belong_to_domains_by_words_inside_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "personas.jsonl"
    path.write_text(json.dumps({"persona": "東京で働く医師です"}) + '\n{"persona": "A pharmacist"}\n', encoding="utf-8")
    pool = PersonaPool(path, {"health": Domain(share=1, words=("医師", "harm"))})
    assert pool.draw("health", "seed") == "東京で働く医師です"


def test_a_long_text_is_folded_on_the_audit_page() -> None:
    part = _part("passage", SENTENCE * 40, 70)
    assert part["shown"] != SENTENCE * 40
    assert f"{part['shown']}{part['rest']}" == SENTENCE * 40
    assert part["left"] == count_words(str(part["rest"]))


HAN = "北京大学位于中国首都北京的海淀区,是一所著名的大学。"
TIBETAN = "བོད་སྐད་ནི་བོད་ཀྱི་སྐད་ཡིག་ཡིན། འདི་ནི་ཚིག་གྲུབ་ཅིག་ཡིན།"
NORSK = "Eg bur i Noreg og les ei bok om fjell og fjordar kvar einaste dag."


@pytest.mark.parametrize(
    ("languages", "text", "kept"),
    [
        (["zh"], HAN, True),
        (["en"], HAN, False),
        (["ja"], UNSPACED["ja"][0][1], True),
        (["zh"], UNSPACED["ja"][0][1], False),
        (["bo"], TIBETAN, True),
        (["en"], TIBETAN, False),
        (["no"], NORSK, True),
        (["my"], prose("my", 3), True),
        (["th"], prose("lo", 3), False),
    ],
)
def test_a_language_is_known_by_script_and_by_its_two_letters(languages: list[str], text: str, kept: bool) -> None:
    found: Record = record(query="q", passage=text)
    assert (Language(languages).reason(found) is None) is kept
