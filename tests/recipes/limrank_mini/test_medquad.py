"""MedQuAD's labels as records and groups: what may serve as a negative, and traces that say nothing untrue.

The folder is a small one of our own in the same layout; its texts are written for the test.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.records import Group, Intent, NegativeType, Record, licence_parts, read_groups, read_records
from recipes.limrank_mini.__main__ import main
from recipes.limrank_mini.medquad.aspects import ASPECTS
from recipes.limrank_mini.medquad.groups import GroupShares
from recipes.limrank_mini.medquad.importing import MedquadReport, import_medquad
from recipes.limrank_mini.medquad.instructions import INSTRUCTIONS
from recipes.limrank_mini.medquad.questions import Answer, Question, display, read_questions
from recipes.limrank_mini.medquad.records import RecordShares
from recipes.limrank_mini.medquad.relation import Relation, Standing, relation, standing
from retrieval.rejects import Refusing
from synth.errors import BadInput
from synth.filters.coherence import conclusion
from tests.synth.examples import beir_folder

DISEASES = [
    f"{first} {second}" for first in ("Alder", "Birch", "Cedar", "Elder") for second in ("fever", "ague", "palsy")
]
TEXTS = {
    "symptoms": "The symptoms of {x} are a stiff neck and a red rash that shows on the hands after two days.",
    "treatment": "{x} is treated with rest and a cooling salve; most drugs make it worse and are not used.",
    "causes": "{x} is caused by breathing the dust of its tree, which settles in the throat.",
    "prevention": "To prevent {x}, wear a scarf under the trees and avoid the woods in May.",
    "information": "{x} is a disease of foresters. It comes with a rash and can be treated with rest.",
}
ASKED = {
    "symptoms": "What are the symptoms of {x}?",
    "treatment": "What are the treatments for {x}?",
    "causes": "What causes {x}?",
    "prevention": "How to prevent {x}?",
    "information": "What is (are) {x}?",
}
FEW = GroupShares(negatives=4, instruction_share=0.5)


def medquad_folder(folder: Path, splits: tuple[str, ...] = ("train", "test")) -> Path:
    """Twelve made-up diseases, five question types each; every fourth disease is in the test split."""
    for split in splits:
        corpus: list[dict[str, Any]] = []
        queries = []
        qrels = []
        for number, disease in enumerate(DISEASES):
            own = "test" if number % 4 == 3 else "train"
            for kind, text in TEXTS.items():
                name = f"D{number}-{kind}"
                metadata = {"qtype": kind, "cui": [f"C{number}"], "split": own}
                corpus.append({"_id": name, "title": disease, "text": text.format(x=disease), "metadata": metadata})
                queries.append({"_id": f"q-{name}", "text": ASKED[kind].format(x=disease)})
                queries[-1]["metadata"] = {"focus": disease, "qtype": kind, "split": own}  # type: ignore[assignment]
                if own == split:
                    qrels.append((f"q-{name}", name, 1))
        beir_folder(folder, corpus, queries, qrels, split)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return medquad_folder(tmp_path_factory.mktemp("medquad"))


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[MedquadReport, list[Record], list[Group]]:
    """All records and groups of the train split, with an instruction for every question."""
    place = tmp_path_factory.mktemp("made")
    shares = RecordShares(instruction_share=1.0, direct_share=0.0)
    report = import_medquad(
        folder, place / "r.jsonl", place / "g.jsonl", record_shares=shares, group_shares=FEW, depth=60
    )
    return report, list(read_records(place / "r.jsonl")), list(read_groups(place / "g.jsonl"))


def answer(kind: str, text: str, focus: str = "Alder fever", concepts: str = "C1") -> Answer:
    return Answer(f"d-{kind}-{focus}", f"{focus} {text}", focus, ASPECTS[kind], frozenset(concepts.split()))


def question(kind: str, focus: str = "Alder fever", concepts: str = "C1") -> Question:
    return Question(
        "q", ASKED.get(kind, "{x}?").format(x=focus), focus, ASPECTS[kind], frozenset(concepts.split()), (0,)
    )


SILENT = TEXTS["prevention"].format(x="Alder fever")
LONG = " ".join(f"The forester number {n} walked home along the river." for n in range(12))


@pytest.mark.parametrize(
    ("asked", "told", "expected"),
    [
        (question("symptoms"), answer("prevention", SILENT), Relation.RIGHT_FOCUS_WRONG_TYPE),
        (
            question("symptoms"),
            answer("prevention", f"{SILENT} {LONG} Its symptoms are a stiff neck."),
            Relation.RIGHT_FOCUS_PASSING,
        ),
        (question("symptoms"), answer("prevention", f"{SILENT} Its symptoms are a stiff neck."), Relation.OTHER_TYPE),
        (question("causes"), answer("genetic changes", "It is caused by a gene that mutated."), Relation.UNCLEAR),
        (question("symptoms"), answer("symptoms", "Its symptoms are many and various, as said."), Relation.UNCLEAR),
        (question("symptoms"), answer("prevention", "No words of its kind here at all, none."), Relation.UNCLEAR),
        (question("symptoms"), answer("prevention", "How can the trees of May be avoided at all?"), Relation.UNCLEAR),
        (question("prevention"), answer("prevention", SILENT, "Birch ague", "C2"), Relation.UNCLEAR),
        (
            question("symptoms", "Elm pox", "C9"),
            answer("symptoms", "Signs of it are spots on the skin."),
            Relation.WRONG_FOCUS_RIGHT_TYPE,
        ),
        (question("symptoms", "Elm pox", "C9"), answer("prevention", SILENT), Relation.WRONG_BOTH),
        (question("symptoms", "Elm pox", "C1 C9"), answer("prevention", SILENT), Relation.OTHER_TYPE),
        (question("symptoms", "Elm pox", ""), answer("prevention", SILENT), Relation.OTHER_TYPE),
        (question("symptoms", "Late Alder fever", "C9"), answer("prevention", SILENT), Relation.OTHER_TYPE),
        (question("symptoms", "the woods", "C9"), answer("prevention", SILENT), Relation.OTHER_TYPE),
        (
            question("symptoms", "Late Alder fever", "C9"),
            answer("symptoms", "Signs of it are spots on the skin."),
            Relation.UNCLEAR,
        ),
    ],
    ids=[
        "silent on what is asked",
        "touches on it",
        "too much of it: by its label alone",
        "too much of it, and akin",
        "same type: perhaps an answer",
        "words do not bear its own label out",
        "a question that it leaves unanswered",
        "named in the text",
        "other focus, same type",
        "other focus and type",
        "a concept shared",
        "no concept known",
        "one name within the other",
        "the focus asked for stands in the text",
        "one name within the other, same type",
    ],
)
def test_relations_are_only_those_that_can_be_vouched_for(asked: Question, told: Answer, expected: Relation) -> None:
    assert relation(asked, told) is expected


def test_standing_looks_at_words_and_not_at_labels() -> None:
    assert standing(answer("prevention", SILENT), ASPECTS["outlook"]) is Standing.SILENT
    assert standing(answer("prevention", f"{LONG} The prognosis is good."), ASPECTS["outlook"]) is Standing.PASSING
    assert standing(answer("prevention", "The prognosis is good."), ASPECTS["outlook"]) is Standing.UNCLEAR


def test_plain_records_are_the_answer_and_what_bm25_falls_for(
    made: tuple[MedquadReport, list[Record], list[Group]],
) -> None:
    _, records, _ = made
    plain = [one for one in records if one.instruction is None]
    by_query: dict[str, list[Record]] = {}
    for one in plain:
        by_query.setdefault(one.id.split("/")[1], []).append(one)
    assert len(by_query) == 45
    for name, ones in by_query.items():
        number = name.split("-")[1]
        relevant = [one for one in ones if one.relevant]
        assert [one.id.split("/")[2] for one in relevant] == [name.removeprefix("q-")]
        for one in ones:
            document = one.id.split("/")[2]
            same_focus = document.startswith(f"{number}-")
            if one.negative_type is NegativeType.SAME_TOPIC_OTHER_INTENT:
                assert same_focus
                assert document != name.removeprefix("q-")
            elif one.negative_type in (NegativeType.WRONG_ENTITY, NegativeType.BM25):
                assert not same_focus
    kinds = Counter(one.negative_type for one in plain)
    assert kinds[NegativeType.SAME_TOPIC_OTHER_INTENT] >= 45
    assert kinds[NegativeType.WRONG_ENTITY] >= 30


def test_no_trace_contradicts_its_label_or_names_it(made: tuple[MedquadReport, list[Record], list[Group]]) -> None:
    _, records, _ = made
    for one in records:
        assert one.trace is not None
        assert conclusion(one.trace) is one.relevant, one
        assert "label" not in one.trace
        assert "{" not in one.trace
        focus = next(disease for disease in DISEASES if disease in one.query)
        assert focus in one.trace.split(".")[0]  # what is asked
        assert one.trace.split(". ")[1].startswith("The passage ")  # what is told


def test_a_silent_passage_has_no_word_of_what_is_asked(made: tuple[MedquadReport, list[Record], list[Group]]) -> None:
    _, records, _ = made
    seen = 0
    for one in records:
        if one.instruction is None and one.negative_type is NegativeType.SAME_TOPIC_OTHER_INTENT:
            kind = one.id.split("/")[1].rsplit("-", 1)[1]
            focus = next(disease for disease in DISEASES if disease in one.query)
            assert not ASPECTS[kind].hint.search(one.passage.replace(focus, ""))
            seen += 1
    assert seen


def test_a_passage_on_another_topic_is_said_to_be_that_and_no_more(
    made: tuple[MedquadReport, list[Record], list[Group]],
) -> None:
    """The overview says a word on symptoms and on treatment: no trace may claim that it is silent on them."""
    _, records, _ = made
    mixed = [
        one
        for one in records
        if one.negative_type is NegativeType.PARTIAL and one.id.split("/")[2].endswith("-information")
    ]
    assert len(mixed) >= 10
    for one in mixed:
        assert one.trace is not None
        assert "question is another one" in one.trace
        assert "does not say" not in one.trace
        assert "nothing" not in one.trace


def test_a_share_of_the_records_is_for_direct_mode(folder: Path, tmp_path: Path) -> None:
    def imported(direct_share: float) -> list[Record]:
        shares = RecordShares(direct_share=direct_share)
        import_medquad(folder, tmp_path / "r.jsonl", tmp_path / "g.jsonl", record_shares=shares, group_shares=FEW)
        return list(read_records(tmp_path / "r.jsonl"))

    traced, mixed = imported(0.0), imported(0.5)
    assert all(one.trace for one in traced)
    assert [replace(one, trace=None) for one in mixed] == [replace(one, trace=None) for one in traced]
    kept = [(one, whole) for one, whole in zip(mixed, traced, strict=True) if one.trace is not None]
    assert all(one == whole for one, whole in kept)
    assert 0.4 < len(kept) / len(mixed) < 0.6


def test_a_conclusion_shares_its_beginning_with_those_it_is_chosen_from(
    made: tuple[MedquadReport, list[Record], list[Group]],
) -> None:
    """So that a model that writes the likeliest word chooses between conclusions and not between beginnings."""
    _, records, _ = made
    plain = [str(one.trace).split(". ", 2)[2] for one in records if one.instruction is None]
    assert len(set(plain)) >= 4
    assert all(end.startswith(("The subject is ", "The question is another one")) for end in plain)
    instructed = {str(one.trace).split(". ", 2)[2] for one in records if one.instruction is not None}
    assert len(instructed) >= 2
    assert all(
        end.startswith(("By the instruction it counts, ", "By the instruction it does not ")) for end in instructed
    )


def test_wordings_of_instructions_vary_and_each_record_keeps_its_own(
    made: tuple[MedquadReport, list[Record], list[Group]], folder: Path, tmp_path: Path
) -> None:
    report, records, groups = made
    assert len({one.instruction for one in records if one.instruction is not None}) >= 4
    shares = RecordShares(instruction_share=1.0, direct_share=0.0)
    again = import_medquad(
        folder, tmp_path / "r.jsonl", tmp_path / "g.jsonl", record_shares=shares, group_shares=FEW, depth=60
    )
    assert again == report
    assert list(read_records(tmp_path / "r.jsonl")) == records
    assert list(read_groups(tmp_path / "g.jsonl")) == groups


def test_an_instruction_has_a_passage_on_each_side(made: tuple[MedquadReport, list[Record], list[Group]]) -> None:
    report, records, _ = made
    by_instruction: dict[tuple[str, str], set[bool]] = {}
    for one in records:
        if one.instruction is not None:
            key = (one.query, one.id.rsplit("/", 1)[1])
            by_instruction.setdefault(key, set()).add(one.relevant)
            assert one.instruction[0].isupper()
            assert one.instruction.endswith(".")
    assert len(by_instruction) >= 40
    for (_, kind), labels in by_instruction.items():
        assert labels == {True, False} or kind == "no-link-lists"
    assert len(report.instructions) >= 4


def test_the_same_pair_turns_round_with_the_instruction(made: tuple[MedquadReport, list[Record], list[Group]]) -> None:
    _, records, _ = made
    labels: dict[tuple[str, str], set[bool]] = {}
    for one in records:
        labels.setdefault((one.query, one.passage), set()).add(one.relevant)
    assert sum(1 for found in labels.values() if len(found) == 2) >= 15


@pytest.mark.parametrize(
    ("name", "told", "expected"),
    [
        ("any-aspect", answer("prevention", SILENT), True),
        ("any-aspect", answer("symptoms", "Signs of it are spots on the skin.", "Elm pox", "C9"), False),
        ("dedicated", answer("prevention", f"{SILENT} {LONG} Its symptoms are a stiff neck."), False),
        ("mention", answer("prevention", f"{SILENT} {LONG} Its symptoms are a stiff neck."), True),
        ("mention", answer("prevention", SILENT), False),
        ("other-subjects", answer("symptoms", "Signs of it are spots on the skin.", "Elm pox", "C9"), True),
        ("other-subjects", answer("prevention", SILENT), False),
        ("dedicated", answer("symptoms", "Its symptoms are a rash and a stiff neck."), True),
        ("dedicated", answer("prevention", f"{SILENT} Its symptoms are a stiff neck."), None),
    ],
)
def test_instructions_say_what_counts(name: str, told: Answer, expected: bool | None) -> None:
    instruction = next(one for one in INSTRUCTIONS if one.name == name)
    assert instruction.counts(question("symptoms"), told, ASPECTS["symptoms"]) is expected


def test_lists_of_links_are_said_to_be_what_they_are() -> None:
    links = answer("treatment", "These resources address the diagnosis or management of Alder fever: - A hospital page")
    asked = question("treatment")
    rule = next(one for one in INSTRUCTIONS if one.name == "no-link-lists")
    assert links.only_links
    assert rule.counts(asked, links, ASPECTS["treatment"]) is False
    assert rule.counts(asked, answer("treatment", TEXTS["treatment"].format(x="It")), ASPECTS["treatment"]) is True
    trace = rule.trace(asked, links, ASPECTS["treatment"], relevant=False)
    assert "The passage lists resources on the diagnosis or management of Alder fever." in trace
    for other in INSTRUCTIONS:
        if other.name not in ("no-link-lists", "any-aspect"):
            assert other.counts(asked, links, ASPECTS["treatment"]) is None


def test_groups_set_the_answer_against_the_same_focus_first(
    made: tuple[MedquadReport, list[Record], list[Group]],
) -> None:
    report, records, groups = made
    assert report.groups == len(groups) > 45
    relevant = {(one.query, one.passage) for one in records if one.relevant and one.instruction is None}
    for one in groups:
        assert len(one.negatives) == 4
        assert one.positive not in one.negatives
        assert len(set(one.negatives)) == 4
        if one.id.endswith("/plain"):
            assert (one.query, one.positive) in relevant
        else:
            assert one.instruction is not None
            assert (one.query, one.positive) not in relevant  # the instruction moved the answer
    moved = [one for one in groups if one.id.endswith("/other-aspect")]
    assert any((one.query, negative) in relevant for one in moved for negative in one.negatives)


def test_nothing_comes_from_another_split_or_an_excluded_document(folder: Path, tmp_path: Path) -> None:
    excluded = tmp_path / "excluded.txt"
    excluded.write_text("D0-symptoms\nD1-causes\n", encoding="utf-8")
    report = import_medquad(
        folder, tmp_path / "r.jsonl", tmp_path / "g.jsonl", excluded_file=excluded, group_shares=FEW
    )
    text = (tmp_path / "r.jsonl").read_text(encoding="utf-8") + (tmp_path / "g.jsonl").read_text(encoding="utf-8")
    for disease in DISEASES[3::4]:
        assert disease not in text
    for disease, kind in ((DISEASES[0], "symptoms"), (DISEASES[1], "causes")):
        assert f"{disease} {TEXTS[kind].format(x=disease)}" not in text
        assert ASKED[kind].format(x=disease) not in text
    assert report.left_out["question answered by an excluded document"] == 2
    assert report.left_out["document excluded"] == 2


def test_every_record_carries_its_licence_and_domain(made: tuple[MedquadReport, list[Record], list[Group]]) -> None:
    _, records, groups = made
    every: list[Record | Group] = [*records, *groups]
    for one in every:
        assert licence_parts(one.licence) == ("CC-BY-4.0",)
        assert (one.source, one.domain) == ("medquad", "healthcare")
    assert len({one.id for one in every}) == len(every)
    assert {one.intent for one in records} == set(Intent)


@pytest.mark.parametrize(
    ("focus", "shown"),
    [
        ("What I need to know about Kidney Stones", "Kidney Stones"),
        ("Parasites - Hookworm", "Hookworm"),
        ("Pinworm (also known as Enterobius Infection)", "Pinworm"),
        ("Best vitelliform macular dystrophy", "Best vitelliform macular dystrophy"),
    ],
)
def test_names_are_said_as_a_sentence_can_hold_them(focus: str, shown: str) -> None:
    assert display(focus) == shown


def test_a_folder_without_labels_is_a_sentence(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path / "x", [{"_id": "d", "text": "t"}], [{"_id": "q", "text": "t"}], [("q", "d", 1)])
    with pytest.raises(BadInput, match="'d' has the question type None; it must be one of information"):
        import_medquad(folder, tmp_path / "r.jsonl", tmp_path / "g.jsonl")
    with pytest.raises(BadInput, match=r"none\.txt: cannot be read"):
        import_medquad(folder, tmp_path / "r.jsonl", tmp_path / "g.jsonl", excluded_file=tmp_path / "none.txt")
    assert (
        read_questions(medquad_folder(tmp_path / "y"), "test", frozenset(), Refusing()).left_out["document excluded"]
        == 0
    )


def test_the_command_writes_both_files_and_says_what_is_in_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", str(folder), str(tmp_path / "r.jsonl")]
    assert main(arguments) == 2
    assert "needs --groups-out" in capsys.readouterr().err
    assert main([*arguments, "--groups-out", str(tmp_path / "g.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "records written to" in said
    assert "negatives, same_topic_other_intent:" in said
    header = json.loads((tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert header["format"] == "limrank.records"
