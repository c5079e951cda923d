"""A verification as a whole: what is kept, what is dropped and counted, how good the filters are on known labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.records import Record, Votes, read_records
from synth.cli import main
from synth.errors import BadInput
from synth.export.sources import Source
from synth.filters.chain import FilterSettings
from synth.filters.report import verify_table
from synth.filters.verify import verify
from tests.synth.examples import TRACE_AGAINST, TRACE_FOR, beir_folder, on_a_full_disk, record, records_file

QUICK = FilterSettings(only=("length", "agreement", "coherence", "label-leak", "near-duplicate"))


def distinct(number: int, **fields: object) -> Record:
    """A record that is nobody's near-duplicate."""
    words = [f"w{number}x{place}" for place in range(30)]
    return record(number, query=f"what is {words[0]} {words[1]} {words[2]}", passage=" ".join(words), **fields)


def test_every_dropped_record_is_counted_once_by_filter_and_reason_and_kept_beside(tmp_path: Path) -> None:
    good = [distinct(n) for n in range(3)]
    rows = [
        *good,
        distinct(3, votes=Votes(true=0, false=3)),
        distinct(4, trace=TRACE_AGAINST),
        distinct(5, trace="I was told it is relevant, so it is relevant."),
        record(6, query=good[0].query, passage=good[0].passage),
        distinct(0),  # the same id again
        distinct(7, trace="no", votes=Votes(true=0, false=1)),  # two filters would drop it: the first one counts
    ]
    report = verify(rows, tmp_path / "kept.jsonl", QUICK)
    assert list(read_records(tmp_path / "kept.jsonl")) == good
    assert (report.shown, report.kept) == (9, 3)
    assert {one.name: dict(one.dropped) for one in report.filters if one.dropped} == {
        "repeated-id": {"the id was given before": 1},
        "length": {"trace of less than 3 words": 1},
        "agreement": {"all votes are against the label": 1},
        "coherence": {"the trace finds against the passage, the label for": 1},
        "label-leak": {"'i was told it is' in the trace": 1},
        "near-duplicate": {"query and passage nearly the same as an earlier record's": 1},
    }
    assert {one.name: one.shown for one in report.filters}["near-duplicate"] == 4
    about = json.loads((tmp_path / "kept.jsonl.about.json").read_text())
    assert about["left_out"] == {one.name: one.dropped.total() for one in report.filters if one.dropped}
    assert (about["rows"], sum(about["left_out"].values()), about["cost"]) == (3, 6, 0)
    dropped = [json.loads(line) for line in (tmp_path / "kept.jsonl.dropped.jsonl").read_text().splitlines()]
    assert [(row["filter"], row["record"]["id"]) for row in dropped] == [
        ("agreement", "own/3"),
        ("coherence", "own/4"),
        ("label-leak", "own/5"),
        ("near-duplicate", "own/6"),
        ("repeated-id", "own/0"),
        ("length", "own/7"),
    ]
    assert "3 of 9 records kept" in verify_table(report)


def test_precision_and_recall_are_those_of_known_labels(tmp_path: Path) -> None:
    """Ten records: two labels are wrong. Agreement drops one wrong and one right, coherence the other wrong."""
    for_, against = Votes(true=3, false=0), Votes(true=0, false=3)
    truth = [distinct(n, relevant=n not in (0, 1)) for n in range(10)]
    rows = [distinct(0, votes=against), distinct(1, trace=TRACE_AGAINST), distinct(2, votes=against)]
    rows += [distinct(n, votes=for_, trace=TRACE_FOR) for n in range(3, 10)]
    rows += [distinct(11)]  # its label is not known
    report = verify(rows, tmp_path / "kept.jsonl", QUICK, against=records_file(tmp_path / "truth.jsonl", truth))
    assert report.labelled == 10
    every = report.scores["all"]
    assert (every.kept_right, every.kept_wrong, every.dropped_right, every.dropped_wrong) == (7, 0, 1, 2)
    assert (every.precision, every.recall) == (1.0, 7 / 8)
    assert (every.drop_precision, every.drop_recall) == (2 / 3, 1.0)
    agreement = report.scores["agreement"]
    assert (agreement.precision, agreement.recall) == (7 / 8, 7 / 8)
    assert (agreement.drop_precision, agreement.drop_recall) == (0.5, 0.5)
    assert report.scores["label-leak"].drop_precision is None
    assert [line.split() for line in verify_table(report).splitlines() if line.startswith("all")] == [
        ["all", "1.0000", "0.8750", "0.6667", "1.0000"]
    ]


def test_a_pair_is_found_by_its_texts_and_its_instruction(tmp_path: Path) -> None:
    truth = [distinct(0, instruction="Only recent ones."), distinct(1)]
    rows = [
        distinct(0, relevant=False),
        record(5, query=distinct(1).query, passage=distinct(1).passage, relevant=False),
    ]
    report = verify(rows, tmp_path / "kept.jsonl", QUICK, against=records_file(tmp_path / "truth.jsonl", truth))
    assert report.labelled == 1
    assert report.scores["all"].kept_wrong == 1


def test_a_bad_row_names_its_line_and_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    path = records_file(tmp_path / "in.jsonl", [distinct(n) for n in range(3)])
    with path.open("a", encoding="utf-8") as file:
        file.write('{"id": "x"}\n')
    for name in ("kept.jsonl", "kept.jsonl.dropped.jsonl"):
        (tmp_path / name).write_text("precious", encoding="utf-8")
    with pytest.raises(BadInput, match=r"in\.jsonl, line 5: the line has no 'query'"):
        verify(Source(path).records(), tmp_path / "kept.jsonl", QUICK)
    assert (tmp_path / "kept.jsonl").read_text(encoding="utf-8") == "precious"
    assert (tmp_path / "kept.jsonl.dropped.jsonl").read_text(encoding="utf-8") == "precious"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("most", [30_000, 150_000])
def test_a_full_disk_is_a_sentence_wherever_it_strikes(tmp_path: Path, most: int) -> None:
    """First in the scratch database of the near-duplicates, then in the output."""
    records_file(tmp_path / "in.jsonl", (distinct(n) for n in range(600)))
    names = "length" if most > 100_000 else "near-duplicate"
    code = f"""
from synth.cli import main
raise SystemExit(main(["verify", {str(tmp_path / "in.jsonl")!r}, {str(tmp_path / "out.jsonl")!r},
                       "--filters", {names!r}]))
"""
    done = on_a_full_disk(code, most)
    assert done.returncode == 1, done.stderr
    assert "the disk takes no more" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_command_reports_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = records_file(tmp_path / "in.jsonl", [distinct(n, trace=TRACE_FOR) for n in range(4)])
    arguments = ["verify", str(path), str(tmp_path / "out.jsonl"), "--filters", "length", "--filters", "coherence"]
    assert main([*arguments, "--against", str(path)]) == 0
    assert "4 of 4 records kept" in capsys.readouterr().out
    assert main([*arguments, "--lengths", '{"trace": [3, 4]}']) == 0
    assert "length: trace of more than 4 words: 4" in capsys.readouterr().out
    assert main([*arguments, "--lengths", '{"trace": [9, 4]}']) == 2
    assert "9 to 4 words for 'trace' cannot be" in capsys.readouterr().err
    assert main([*arguments, "--lengths", '{"title": [1, 4]}']) == 2
    assert "'title' is no text of a record; they are query, passage, trace, instruction" in capsys.readouterr().err
    assert main([*arguments, "--filters", "spelling"]) == 2
    assert "'spelling' is no filter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("corpus.jsonl", '{"_id": "d1", "text": "again"}', "the id 'd1' was given at row 1; ids must differ."),
        ("corpus.jsonl", '{"_id": "d2", "text": "a \\ud83d"}', "'text' holds half of a character pair at position 2"),
        ("queries.jsonl", '{"_id": "q2"}', "'q2' has no text"),
        ("queries.jsonl", "no JSON", "not one JSON object"),
    ],
)
def test_rows_of_evaluation_data_that_nothing_was_compared_with_are_named(
    tmp_path: Path, name: str, row: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, queries = [{"_id": "d1", "text": "gout hurts"}], [{"_id": "q1", "text": "what hurts"}]
    folder = beir_folder(tmp_path / "museum", corpus, queries, [("q1", "d1", 1)])
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(row + "\n")
    path = records_file(tmp_path / "in.jsonl", [record(1)])
    words = ["verify", str(path), str(tmp_path / "out.jsonl"), "--evaluation", str(folder)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "museum: 1 rows could not be used, so nothing is compared with them (" in told
    assert said in told


def test_evaluation_texts_without_a_word_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, queries = [{"_id": "d1", "text": "!!!"}, {"_id": "d2", "text": "\u2603"}], [{"_id": "q1", "text": "what"}]
    folder = beir_folder(tmp_path / "museum", corpus, queries, [("q1", "d1", 1)])
    path = records_file(tmp_path / "in.jsonl", [record(1)])
    assert main(["verify", str(path), str(tmp_path / "out.jsonl"), "--evaluation", str(folder)]) == 0
    assert "museum: 2 texts hold no word that could be compared" in capsys.readouterr().out
