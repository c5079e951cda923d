"""Parquet on both sides of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.app.batches import batch, read
from tests.app.conftest import Service


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
