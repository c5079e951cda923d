"""Exports: formats, mixtures, licences, intent, and what a bad row or a full disk does to them."""

from __future__ import annotations

import json
import random
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import Difficulty, Intent, NegativeType, Record, Votes, read_groups, read_records
from synth.cli import main
from synth.errors import BadInput, BadSettings
from synth.export.export import export
from synth.export.formats import Format, Shape
from synth.export.mix import in_turn
from synth.export.reader import ExportOptions
from synth.export.sources import Source
from tests.synth.examples import group, groups_file, on_a_full_disk, record, records_file

QUERY = "how does bread rise"


def answers(query: str = QUERY, relevant: int = 2, irrelevant: int = 3, **fields: Any) -> list[Record]:
    """Records of one query."""
    made = []
    for number in range(relevant + irrelevant):
        label = number < relevant
        kind = None if label else NegativeType.BM25
        name = f"{query}/{number}"
        made.append(record(0, id=name, query=query, passage=name, relevant=label, negative_type=kind, **fields))
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pointwise_is_the_records_themselves(tmp_path: Path) -> None:
    rows = [*answers(), record(1, trace="It says how.", votes=Votes(true=2, false=1))]
    out = tmp_path / "out.jsonl"
    about = export([Source(records_file(tmp_path / "in.jsonl", rows))], out, ExportOptions())
    assert list(read_records(out)) == rows
    assert (about.rows, about.relevant) == (6, 3)


def test_lce_has_a_group_for_each_relevant_passage(tmp_path: Path) -> None:
    rows = answers(relevant=2, irrelevant=5) + answers("lonely", 1, 0) + answers("hopeless", 0, 2)
    random.Random(1).shuffle(rows)
    out = tmp_path / "out.jsonl"
    knobs = ExportOptions(format=Format.LCE, shape=Shape(negatives=3))
    about = export([Source(records_file(tmp_path / "in.jsonl", rows))], out, knobs)
    groups = list(read_groups(out))
    assert {one.positive for one in groups} == {f"{QUERY}/0", f"{QUERY}/1"}
    for one in groups:
        assert len(set(one.negatives)) == 3
        assert set(one.negatives) <= {f"{QUERY}/{n}" for n in range(2, 7)}
    assert groups[0].negatives != groups[1].negatives
    assert about.left_out == {"query with too few negatives": 1, "query with no relevant passage": 1}


def test_setwise_names_the_best_wherever_it_stands(tmp_path: Path) -> None:
    rows = [row for n in range(40) for row in answers(f"query {n}", 1, 3)]
    out = tmp_path / "out.jsonl"
    export([Source(records_file(tmp_path / "in.jsonl", rows))], out, ExportOptions(format=Format.SETWISE))
    header, *sets = lines(out)
    assert header == {"format": "limrank.setwise", "version": 1}
    assert len(sets) == 40
    for one in sets:
        assert one["passages"][one["best"]] == f"{one['query']}/0"
        assert sorted(one["passages"]) == [f"{one['query']}/{n}" for n in range(4)]
    places = Counter(one["best"] for one in sets)
    assert set(places) == {0, 1, 2, 3}  # no place gives the answer away


def test_listwise_ranks_by_label_and_then_by_votes(tmp_path: Path) -> None:
    votes = [Votes(true=3, false=1), Votes(true=4, false=0), Votes(true=1, false=3), None, Votes(true=3, false=2)]
    rows = [
        record(0, id=f"{n}", query=QUERY, passage=f"p{n}", relevant=n < 2, votes=given) for n, given in enumerate(votes)
    ]
    out = tmp_path / "out.jsonl"
    knobs = ExportOptions(format=Format.LISTWISE)
    export([Source(records_file(tmp_path / "in.jsonl", rows))], out, knobs)
    header, one = lines(out)
    assert header["format"] == "limrank.listwise"
    assert [one["passages"][place] for place in one["ranking"]] == ["p1", "p0", "p4", "p2", "p3"]
    assert [one["grades"][place] for place in one["ranking"]] == [1.0, 0.75, 0.49, 0.25, 0.0]
    assert one["ranking"] != sorted(one["ranking"])


def test_a_list_has_at_most_its_window_and_both_kinds(tmp_path: Path) -> None:
    source = Source(records_file(tmp_path / "in.jsonl", answers(relevant=9, irrelevant=9)))
    out = tmp_path / "out.jsonl"
    export([source], out, ExportOptions(format=Format.LISTWISE, shape=Shape(window=6)))
    grades = lines(out)[1]["grades"]
    assert sorted(grades) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["lce", "setwise", "listwise"])
def test_groups_are_a_source_too_but_not_of_labelled_pairs(tmp_path: Path, name: str) -> None:
    source = Source(groups_file(tmp_path / "in.jsonl", [group(n) for n in range(3)]))
    out = tmp_path / "out.jsonl"
    assert export([source], out, ExportOptions(format=Format(name))).rows == 3
    if name == "lce":
        assert list(read_groups(out)) == [group(n) for n in range(3)]
    else:
        row = lines(out)[1]
        best = row["best"] if name == "setwise" else row["ranking"][0]
        assert row["passages"][best] == "Yeast makes gas in dough 0."
    with pytest.raises(BadSettings, match="holds groups, which are no labelled pairs; export them as lce"):
        export([source], out, ExportOptions())


def test_one_query_under_two_instructions_is_two_questions(tmp_path: Path) -> None:
    rows = answers(relevant=1, irrelevant=1)
    rows += answers(relevant=1, irrelevant=1, instruction="Only old recipes.")
    rows = [
        Record(**{name: getattr(row, name) for name in row.__slots__} | {"id": f"{n}"}) for n, row in enumerate(rows)
    ]
    out = tmp_path / "out.jsonl"
    export([Source(records_file(tmp_path / "in.jsonl", rows))], out, ExportOptions(format=Format.LCE))
    assert [one.instruction for one in read_groups(out)] == [None, "Only old recipes."]


def test_a_mixture_keeps_its_proportions_everywhere(tmp_path: Path) -> None:
    first = records_file(tmp_path / "first.jsonl", (record(n, id=f"a{n}", source="first") for n in range(300)))
    second = records_file(tmp_path / "second.jsonl", (record(n, id=f"b{n}", source="second") for n in range(100)))
    out = tmp_path / "out.jsonl"
    about = export([Source.named(f"{first}=140"), Source.named(f"{second}=60")], out, ExportOptions())
    records = list(read_records(out))
    assert about.sources == {"first": 140, "second": 60}
    for start in range(0, 200, 20):
        share = Counter(one.source for one in records[start : start + 20])
        assert 13 <= share["first"] <= 15
    kept = [int(one.id[1:]) for one in records if one.source == "first"]
    assert kept == sorted(kept)
    assert max(kept) > 280
    assert min(kept) < 20


def test_a_draw_follows_the_seed_and_the_rows_alone(tmp_path: Path) -> None:
    rows = [record(n) for n in range(60)]
    out = tmp_path / "out.jsonl"

    def drawn(some: list[Record], seed: int) -> set[str]:
        source = Source(records_file(tmp_path / "in.jsonl", some), 20)
        export([source], out, ExportOptions(shape=Shape(seed=seed)))
        return {one.id for one in read_records(out)}

    assert drawn(rows, 0) == drawn(rows[::-1], 0)
    assert drawn(rows, 0) != drawn(rows, 1)


def test_a_mixture_of_more_than_there_is_is_refused(tmp_path: Path) -> None:
    source = Source(records_file(tmp_path / "in.jsonl", [record(n) for n in range(3)]), 4)
    with pytest.raises(BadSettings, match=r"in\.jsonl has 3 rows to give, and 4 were asked for"):
        export([source], tmp_path / "out.jsonl", ExportOptions())
    for wrong in ("x=0", "x=many", "x=-3"):
        with pytest.raises(BadSettings, match="does not end in a count"):
            Source.named(wrong)


@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_dealing_in_turn_loses_nothing_and_keeps_each_order(sizes: list[int]) -> None:
    parts = [(size, iter([(part, n) for n in range(size)])) for part, size in enumerate(sizes)]
    dealt = list(in_turn(parts))
    assert sorted(dealt) == [(part, n) for part, size in enumerate(sizes) for n in range(size)]
    for part in range(len(sizes)):
        own = [n for which, n in dealt if which == part]
        assert own == sorted(own)


def test_licences_are_stated_and_can_be_chosen(tmp_path: Path) -> None:
    rows = [record(n, licence=name) for n, name in enumerate(["MIT", "MIT", "CC-BY-4.0 AND MIT", "CC-BY-NC-SA-4.0"])]
    source = Source(records_file(tmp_path / "in.jsonl", rows))
    out = tmp_path / "out.jsonl"
    about = export([source], out, ExportOptions())
    assert about.licences == {"MIT": 3, "CC-BY-4.0": 1, "CC-BY-NC-SA-4.0": 1}
    about = export([source], out, ExportOptions(only_licence=("MIT",)))
    assert [one.id for one in read_records(out)] == ["own/0", "own/1"]
    assert about.left_out == {"licence CC-BY-4.0 AND MIT": 1, "licence CC-BY-NC-SA-4.0": 1}
    about = export([source], out, ExportOptions(only_licence=("MIT", "CC-BY-4.0")))
    assert about.rows == 3
    said = json.loads((tmp_path / "out.jsonl.about.json").read_text(encoding="utf-8"))
    assert said["licences"] == {"MIT": 3, "CC-BY-4.0": 1}
    assert said["sha256"] == sha256(out.read_bytes()).hexdigest()
    assert said["settings"]["only_licence"] == ["MIT", "CC-BY-4.0"]
    assert str(tmp_path) not in json.dumps(said)


def test_a_group_under_several_licences_says_them_all(tmp_path: Path) -> None:
    rows = answers(relevant=1, irrelevant=1, licence="MIT")
    rows += [record(9, query=QUERY, relevant=False, licence="CC-BY-4.0 AND MIT", source="else")]
    out = tmp_path / "out.jsonl"
    export([Source(records_file(tmp_path / "in.jsonl", rows))], out, ExportOptions(format=Format.LCE))
    only = next(read_groups(out))
    assert (only.licence, only.source) == ("CC-BY-4.0 AND MIT", "else, own")


def test_intent_is_stated_if_asked_for(tmp_path: Path) -> None:
    rows = [record(0, instruction="Only old recipes."), record(1, intent=Intent.INDIRECT)]
    source = Source(records_file(tmp_path / "in.jsonl", rows))
    out = tmp_path / "out.jsonl"
    export([source], out, ExportOptions(state_intent=True))
    assert [one.instruction for one in read_records(out)] == [
        "Only old recipes. Only a passage that answers the query itself counts as relevant.",
        "A passage that helps towards an answer counts as relevant too.",
    ]
    export([source], out, ExportOptions())
    assert [one.instruction for one in read_records(out)] == ["Only old recipes.", None]


def test_records_without_a_trace_can_be_left_out(tmp_path: Path) -> None:
    source = Source(records_file(tmp_path / "in.jsonl", [record(0), record(1, trace="It says how.")]))
    about = export([source], tmp_path / "out.jsonl", ExportOptions(with_trace=True))
    assert (about.rows, about.left_out) == (1, {"no trace": 1})


@pytest.mark.parametrize("name", list(Format))
def test_the_same_export_is_the_same_bytes(tmp_path: Path, name: Format) -> None:
    rows = [row for n in range(20) for row in answers(f"query {n}", 2, 4)]
    random.Random(2).shuffle(rows)
    source = Source(records_file(tmp_path / "in.jsonl", rows))
    knobs = ExportOptions(format=name, shape=Shape(negatives=2, window=4))
    for out in ("a", "b"):
        export([source], tmp_path / out, knobs)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.about.json").read_bytes() == (tmp_path / "b.about.json").read_bytes()


@pytest.mark.parametrize("name", [Format.POINTWISE, Format.LCE])
def test_a_repeated_id_is_a_sentence_with_its_row(tmp_path: Path, name: Format) -> None:
    first = Source(records_file(tmp_path / "first.jsonl", answers()))
    second = Source(records_file(tmp_path / "second.jsonl", [record(8), answers()[2]]))
    out = tmp_path / "out.jsonl"
    out.write_text("precious", encoding="utf-8")
    with pytest.raises(BadInput, match=rf"second\.jsonl, row 2: the id '{QUERY}/2' was given before"):
        export([first, second], out, ExportOptions(format=name))
    assert out.read_text(encoding="utf-8") == "precious"


BROKEN = [
    ('{"id": "cut', "not one JSON object"),
    ('{"id": "x", "passage": " "}', "has no 'query'"),
    ("[]", "the line is list"),
]


@pytest.mark.parametrize("name", [Format.POINTWISE, Format.LISTWISE])
@pytest.mark.parametrize(("line", "what"), BROKEN)
def test_a_malformed_row_is_a_sentence_with_its_line(tmp_path: Path, name: Format, line: str, what: str) -> None:
    path = records_file(tmp_path / "in.jsonl", answers())
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    out = tmp_path / "out.jsonl"
    out.write_text("precious", encoding="utf-8")
    with pytest.raises(BadInput, match=r"in\.jsonl, line 7: ") as caught:
        export([Source(path)], out, ExportOptions(format=name))
    assert what in str(caught.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    assert out.read_text(encoding="utf-8") == "precious"


def test_what_is_no_source_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for name, what in (("none.jsonl", "cannot be read"), ("notes.txt", "neither a run folder nor"), ("empty", "a run")):
        with pytest.raises(BadInput, match=what):
            export([Source(tmp_path / name)], tmp_path / "out.jsonl", ExportOptions())
    with pytest.raises(BadSettings, match="nothing to export"):
        export([], tmp_path / "out.jsonl", ExportOptions())


@pytest.mark.parametrize("name", ["pointwise", "setwise"])
def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path, name: str) -> None:
    path = records_file(tmp_path / "in.jsonl", (row for n in range(300) for row in answers(f"query {n}" * 20, 1, 3)))
    (tmp_path / "out.jsonl").write_text("precious", encoding="utf-8")
    code = f"""
from synth.cli import main
raise SystemExit(main(["export", {str(tmp_path / "out.jsonl")!r}, "--mix", {str(path)!r}, "--format", {name!r}]))
"""
    done = on_a_full_disk(code, 150_000)
    assert done.returncode == 1, done.stderr
    assert "the disk takes no more" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "precious"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_the_command_says_what_the_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*answers(relevant=1, irrelevant=2, difficulty=Difficulty.MULTI_STEP), record(5, licence="MIT")]
    path = records_file(tmp_path / "in.jsonl", rows)
    out = tmp_path / "deep" / "out.jsonl"
    assert main(["export", str(out), "--mix", str(path), "--format", "lce", "--only-licence", "CC0-1.0"]) == 0
    said = capsys.readouterr().out
    assert "1 lce rows; licences: CC0-1.0 (1)." in said
    assert "left out, licence MIT: 1" in said
    assert len(list(read_groups(out))) == 1


SAME = {"case": "The Answer.", "white space": "the  answer.", "a blank that does not break": "the\u00a0answer."}


@pytest.mark.parametrize("copy", SAME.values(), ids=SAME)
@pytest.mark.parametrize("file_format", Format)
@pytest.mark.parametrize("apart", [False, True], ids=["one file", "two files"])
def test_the_text_of_an_answer_is_no_negative_of_its_query(
    tmp_path: Path, copy: str, file_format: Format, apart: bool
) -> None:
    def labelled(name: str, passage: str, relevant: bool, query: str = QUERY) -> Record:
        return record(0, id=name, query=query, passage=passage, relevant=relevant)

    rows = [labelled("n1", copy, False), labelled("p", "the answer.", True), labelled("n2", "Cheese ripens.", False)]
    other = [labelled("n3", copy, False, QUERY.upper())]
    files = [rows, other] if apart else [rows + other]
    sources = [Source(records_file(tmp_path / f"{at}.jsonl", content)) for at, content in enumerate(files)]
    out = tmp_path / "out.jsonl"
    about = export(sources, out, ExportOptions(format=file_format))
    assert about.left_out["negative with the text of an answer"] == 2
    assert copy not in out.read_text(encoding="utf-8")
    assert "Cheese ripens." in out.read_text(encoding="utf-8")


def test_a_negative_under_another_instruction_stays(tmp_path: Path) -> None:
    rows = [
        record(1, id="p", query=QUERY, passage="the answer."),
        record(1, id="n", query=QUERY, passage="the answer.", relevant=False, instruction="Only pictures count."),
        record(1, id="d", query="q", passage="helps", relevant=False),
        record(1, id="i", query="q", passage="helps", intent=Intent.INDIRECT),
    ]
    out = tmp_path / "out.jsonl"
    source = Source(records_file(tmp_path / "in.jsonl", rows))
    export([source], out, ExportOptions(state_intent=True))
    assert len(list(read_records(out))) == 4
    about = export([source], out, ExportOptions())
    assert about.left_out == {"negative with the text of an answer": 1}


def test_groups_lose_negatives_that_answer_their_query_in_another_group(tmp_path: Path) -> None:
    one = group(1, positive="Yeast makes gas.", negatives=("It rests.", "Cheese ripens."))
    two = group(2, query=one.query.upper(), positive="It  rests.", negatives=("yeast makes gas.",))
    out = tmp_path / "out.jsonl"
    about = export([Source(groups_file(tmp_path / "in.jsonl", [one, two]))], out, ExportOptions(format=Format.LCE))
    assert [(found.id, found.negatives) for found in read_groups(out)] == [(one.id, ("Cheese ripens.",))]
    assert about.left_out == {"negative with the text of an answer": 2}


def test_a_negative_that_is_its_own_query_is_left_out(tmp_path: Path) -> None:
    rows = [*answers(), record(3, id="own", query=QUERY, passage="How does bread  rise", relevant=False)]
    about = export([Source(records_file(tmp_path / "in.jsonl", rows))], tmp_path / "out.jsonl", ExportOptions())
    assert about.left_out == {"negative with the text of its query": 1}


@pytest.mark.parametrize("flags", [["--only-licence", "MIT"], ["--with-trace"], ["--format", "lce"]])
def test_an_export_of_which_nothing_is_left_leaves_no_file_and_fails(
    tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source = records_file(tmp_path / "in.jsonl", answers(relevant=2, irrelevant=0))
    out = tmp_path / "out.jsonl"
    assert main(["export", str(out), "--mix", str(source), *flags]) == 2
    assert "Nothing is left to export (" in capsys.readouterr().err
    assert not out.exists()
