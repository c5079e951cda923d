"""Rank1-style data: three shapes of a row, and what becomes of rows that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.records import read_records
from synth.errors import BadInput
from synth.sources.labels import Labels
from synth.sources.rank1 import import_rank1
from tests.synth.examples import json_lines, on_a_full_disk

LABELS = Labels(source="rank1", licence="CC-BY-4.0")
PROMPT = "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'."


def alpaca(query: str, passage: str, verdict: str = "true", **more: Any) -> dict[str, Any]:
    output = f"<think>\nIt says so.\n</think> {verdict}"
    return {"instruction": PROMPT, "input": f"Query: {query}\nPassage: {passage}\n<think>", "output": output} | more


CHAT = {
    "messages": [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": f"{PROMPT}\nQuery: why is ice light\nPassage: Ice floats.\nIt is light."},
        {"role": "assistant", "content": "It says why.</think> TRUE"},
    ]
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": f"{PROMPT}\nQuery: who\nin two lines\nPassage: nobody Query: x"},
        {"from": "gpt", "value": "<think>No.</think> false"},
    ]
}
PLAIN = {
    "_id": 7,
    "query": "why",
    "document": "because",
    "label": 0,
    "reasoning": "It is not so.",
    "instruction": "Only x.",
}


def test_three_shapes_give_the_same_kind_of_record(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "in.jsonl", [alpaca("what is tea", "Tea is a drink."), CHAT, SHAREGPT, PLAIN])
    report = import_rank1(path, tmp_path / "out.jsonl", LABELS)
    records = list(read_records(tmp_path / "out.jsonl"))
    assert (report.written, report.relevant, report.rejected, report.rejects_file) == (4, 2, 0, None)
    assert [(one.id, one.query, one.passage, one.relevant, one.trace) for one in records] == [
        ("rank1/1", "what is tea", "Tea is a drink.", True, "It says so."),
        ("rank1/2", "why is ice light", "Ice floats.\nIt is light.", True, "It says why."),
        ("rank1/3", "who\nin two lines", "nobody Query: x", False, "No."),
        ("rank1/7", "why", "because", False, "It is not so."),
    ]
    assert records[3].instruction == "Only x."
    assert {one.licence for one in records} == {"CC-BY-4.0"}


def test_an_array_reads_as_its_lines_do(tmp_path: Path) -> None:
    rows = [alpaca(f"query {n}", f"passage {n}", "false") for n in range(50)]
    (tmp_path / "in.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    import_rank1(tmp_path / "in.json", tmp_path / "a.jsonl", LABELS)
    import_rank1(json_lines(tmp_path / "in.jsonl", rows), tmp_path / "b.jsonl", LABELS)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


BAD = [
    ("{not json", "not one JSON object"),
    (json.dumps(alpaca("q", "p", "maybe")), "it must end in '</think> true'"),
    (json.dumps(alpaca("q", "   ")), "'passage' is blank"),
    (json.dumps(alpaca("again", "again", id="one")), "the id 'one' was given at row 1"),
    (json.dumps({"instruction": PROMPT, "input": "nothing", "output": "</think> true"}), "no line 'Query: ...'"),
    (
        json.dumps({"instruction": PROMPT, "input": "Query: q\nPassage: p", "output": "so </think> or </think> true"}),
        "its trace holds </think>",
    ),
    (json.dumps({"query": "q", "passage": "p", "relevant": "perhaps"}), "'relevant' is 'perhaps'"),
    (json.dumps({"query": "q", "passage": 3, "relevant": True}), "'passage' is int"),
    (json.dumps({"messages": [CHAT["messages"][1]]}), "one turn of the user and one of the assistant"),
    (json.dumps({"messages": ["hello"]}), "'messages' holds str"),
    (json.dumps({"prompt": "q"}), "its keys are prompt"),
    ('{"query": "half \\ud800", "passage": "p", "relevant": true}', "half of a character pair"),
]


def test_rows_that_cannot_be_used_are_kept_with_their_number_and_a_sentence(tmp_path: Path) -> None:
    first = json.dumps(alpaca("first", "first", id="one"))
    last = json.dumps(alpaca("last", "last", id="two"))
    lines = [first, *(line for line, _ in BAD), last]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = import_rank1(tmp_path / "in.jsonl", tmp_path / "out.jsonl", LABELS)
    assert [one.id for one in read_records(tmp_path / "out.jsonl")] == ["rank1/one", "rank1/two"]
    assert report.rejected == len(BAD)
    assert report.rejects_file is not None
    kept = [json.loads(line) for line in report.rejects_file.read_text(encoding="utf-8").splitlines()]
    assert [(row["row"], row["raw"]) for row in kept] == [(n, line) for n, (line, _) in enumerate(BAD, start=2)]
    for row, (_, reason) in zip(kept, BAD, strict=True):
        assert reason in row["reason"]
    assert report.sentences[0].startswith(f"{tmp_path / 'in.jsonl'}, row 2: not one JSON object")


def test_a_file_without_a_usable_row_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("precious", encoding="utf-8")
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"no row could be read .*row 1: its keys are a"):
        import_rank1(tmp_path / "in.jsonl", tmp_path / "out.jsonl", LABELS)
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "precious"


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    json_lines(tmp_path / "in.jsonl", (alpaca(f"query {n}", "word " * 400) for n in range(200)))
    (tmp_path / "out.jsonl").write_text("precious", encoding="utf-8")
    code = f"""
from pathlib import Path
from synth.cli import main
raise SystemExit(main(["import", "rank1", {str(tmp_path / "in.jsonl")!r}, {str(tmp_path / "out.jsonl")!r},
                       "--source", "rank1", "--licence", "MIT"]))
"""
    done = on_a_full_disk(code, 200_000)
    assert done.returncode == 1, done.stderr
    assert "the disk takes no more at row" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
