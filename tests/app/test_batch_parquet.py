"""Parquet on both sides of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pytest
from pyarrow import parquet

from service.api.paths import BATCH_PATH
from tests.app.batches import batch, call_lines, read, write_calls
from tests.app.conftest import Service
from tests.app.scripted_http import scripted
from tests.full_disk import room_for


def _write(path: Path, **columns: list[Any]) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_rows_of_documents_are_answered_as_lines(service: Service, tmp_path: Path) -> None:
    source = _write(
        tmp_path / "in.parquet",
        custom_id=[7, 8],
        query=["gout pain", "moon rock"],
        documents=[["gout", "gout pain"], ["rock"]],
        top_n=[1, None],
        note=["ignored", "ignored"],
    )
    out = tmp_path / "out.jsonl"
    assert batch(source, out, "--url", service.url) == 0
    answers = read(out)
    assert [result["index"] for result in answers["7"]["response"]["body"]["results"]] == [1]
    assert len(answers["8"]["response"]["body"]["results"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.jsonl", "out.jsonl.run.json"]


def test_pairs_in_and_parquet_out_once_all_is_answered(service: Service, tmp_path: Path) -> None:
    source = _write(tmp_path / "in.parquet", query=["gout pain"] * 3, document=["gout", "pain gout", "moon"])
    out = tmp_path / "out.parquet"
    assert batch(source, out, "--url", service.url, "--limit", 2) == 0
    assert not out.exists()
    assert batch(source, out, "--url", service.url) == 0
    rows = {row["custom_id"]: row for row in parquet.read_table(out).to_pylist()}
    assert sorted(rows) == ["row-0", "row-1", "row-2"]
    scores = [rows[f"row-{number}"]["relevance_score"][0] for number in range(3)]
    assert scores[1] > scores[0] > scores[2]
    assert service.documents == 3


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"text": ["a"]}, "it needs `query`, and `documents`"),
        ({"query": ["a"]}, "it needs `query`, and `documents`"),
        (
            {"query": ["a", "b"], "document": ["c", "d"], "custom_id": ["x", "x"]},
            "custom_id 'x' stands in calls 1 and 2",
        ),
    ],
)
def test_a_file_without_the_columns_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: dict[str, list[Any]], told: str
) -> None:
    source = _write(tmp_path / "in.parquet", **columns)
    assert batch(source, tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9") == 2
    assert told in capsys.readouterr().err


def test_what_is_no_parquet_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.parquet").write_bytes(b"nothing of the kind")
    assert batch(tmp_path / "in.parquet", tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9") == 2
    assert "is no Parquet file" in capsys.readouterr().err
    assert batch(tmp_path / "none.parquet", tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9") == 2
    assert "cannot be read" in capsys.readouterr().err


def test_columns_as_pandas_writes_them_with_gaps(service: Service, tmp_path: Path) -> None:
    """Whole numbers that became fractions, and NaN where there is nothing."""
    gap = float("nan")
    source = _write(
        tmp_path / "in.parquet",
        query=["gout pain"] * 3,
        documents=[["gout", "gout pain", "moon"]] * 3,
        top_n=[1.0, gap, 2.0],
        custom_id=[7.0, gap, None],
    )
    out = tmp_path / "out.jsonl"
    assert batch(source, out, "--url", service.url) == 0
    counts = {name: len(row["response"]["body"]["results"]) for name, row in read(out).items()}
    assert counts == {"7.0": 1, "row-1": 3, "row-2": 2}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"query": [], "document": []}, "in.parquet holds no calls; give it a row for each."),
        ({"query": ["a"], "document": ["b"], "custom_id": [""]}, "in.parquet, row 1: 'custom_id' must be a text"),
        ({"query": ["a"], "document": [b"\xff"]}, "in.parquet, row 0: cannot be a call"),
        ({"query": ["a"] * 2, "document": ["b"] * 2, "custom_id": ["row-1", None]}, "'row-1' stands in calls 1 and 2"),
    ],
)
def test_what_is_wrong_is_told_of_the_file_that_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: dict[str, list[Any]], told: str
) -> None:
    source = _write(tmp_path / "in.parquet", **columns)
    assert batch(source, tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_columns_of_other_kinds_fail_row_by_row(service: Service, tmp_path: Path) -> None:
    source = _write(
        tmp_path / "in.parquet", query=["gout", None, "gout"], documents=[["a"], ["b"], []], top_n=["x", None, None]
    )
    out = tmp_path / "out.jsonl"
    assert batch(source, out, "--url", service.url) == 1
    assert sorted({*read(out), *read(tmp_path / "out.jsonl.errors")}) == ["row-0", "row-1", "row-2"]


def test_a_file_that_is_damaged_further_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = _write(tmp_path / "in.parquet", query=["a"] * 4000, document=[f"text {n}" for n in range(4000)])
    content = bytearray(source.read_bytes())
    content[200:2000] = bytes(1800)
    source.write_bytes(content)
    assert batch(source, tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "in.parquet" in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_another_parquet_file_is_not_replaced(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _write(tmp_path / "out.parquet", mine=[1, 2])
    before = out.read_bytes()
    source = write_calls(tmp_path / "in.jsonl", call_lines(2))
    assert batch(source, out, "--url", service.url) == 2
    assert "out.parquet is there already" in capsys.readouterr().err
    assert (out.read_bytes(), service.documents) == (before, 0)
    out.unlink()
    for _ in range(2):  # its own is replaced
        assert batch(source, out, "--url", service.url) == 0
        assert parquet.read_table(out).num_rows == 2


def test_answers_of_other_routes_are_kept_as_they_are(service: Service, tmp_path: Path) -> None:
    rows = call_lines(2)
    rows[1] |= {"url": BATCH_PATH, "body": {"requests": [call_lines(1)[0]["body"]]}}
    source, out = write_calls(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet"
    assert batch(source, out, "--url", service.url) == 0
    found = {row["custom_id"]: row for row in parquet.read_table(out).to_pylist()}
    assert len(found["call-0"]["relevance_score"]) == len(found["call-0"]["index"]) == 3
    assert found["call-1"]["relevance_score"] is None
    assert orjson.loads(found["call-1"]["response"])["results"]


def test_answers_of_another_program_are_kept_as_they_are(tmp_path: Path) -> None:
    bodies = [b'{"results": [{"index": "a", "relevance_score": 1}]}', b'{"results": [{"index": 0}]}', b'{"results": 7}']
    bodies += [b"{}", b"[1]", b'[{"index": 0, "score": "high"}]']
    replies = iter(bodies)
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(len(bodies))), tmp_path / "out.parquet"
    with scripted(lambda body: (200, next(replies))) as url:
        assert batch(source, out, "--url", url, "--concurrency", 1) == 0
    rows = parquet.read_table(out).to_pylist()
    assert sorted(row["response"] for row in rows) == sorted(body.decode().replace(" ", "") for body in bodies)
    assert [row["index"] for row in rows] == [None] * len(bodies)


def test_no_space_left_for_the_table_and_then_there_is(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(3)), tmp_path / "out.parquet"
    assert batch(source, out, "--url", service.url, "--limit", 2) == 0
    assert batch(source, tmp_path / "lines.jsonl", "--url", service.url) == 0
    (tmp_path / "out.parquet.jsonl").write_bytes((tmp_path / "lines.jsonl").read_bytes())
    with room_for(900):
        assert batch(source, out, "--url", service.url) == 1
    assert "out.parquet: the disk takes no more" in capsys.readouterr().err
    assert not out.exists()
    assert batch(source, out, "--url", service.url) == 0
    assert parquet.read_table(out).num_rows == 3
