"""Parquet as input and output of a batch: rows become lines of calls, and lines of answers become rows.

The lines are temporary files beside OUT: a batch is answered and resumed line by line in either format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from app.batch.results import usable_path
from cli.errors import BadInput, BadSettings
from cli.output import translate_disk_errors
from contract.files import replacing, whole_lines

ENDING = ".parquet"
URL = "/v1/rerank"
_ROWS = 1024
_WHOLE = frozenset({"top_n", "max_tokens_per_doc", "max_reasoning_tokens", "reasoning_budget"})
_SCORES = ("relevance_score", "score", "logit")
# Columns that become fields of a body; other columns are ignored.
FIELDS = (
    *("query", "documents", "instruction", "mode", "top_n", "max_tokens_per_doc", "max_reasoning_tokens"),
    *("reasoning_budget", "return_reasoning", "return_documents", "rank_fields", "model"),
)


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ENDING


def log_of(out: Path) -> Path:
    """The log of lines that a run appends to: OUT itself, or for Parquet a file beside it that is converted at the
    end."""
    return out.with_name(out.name + ".jsonl") if is_parquet(out) else out


def refuse_another(out: Path, log: Path) -> None:
    """Raises BadInput when a Parquet OUT is there that no batch of ours has made: it would be replaced at the end."""
    if out != log and out.exists() and not (out.is_file() and log.exists()):
        raise BadInput(
            f"{out} is there already, without {log.name} beside it, so it is none of this batch; name another OUT."
        )


@contextmanager
def lines_of(source: Path, log: Path) -> Iterator[Path]:
    """Yields `source` as a file of lines: `source` itself, or for Parquet a temporary file beside `log`.

    Raises BadInput for a file that is not Parquet or lacks a column, BadSettings when pyarrow is not installed.
    """
    if not is_parquet(source):
        yield source
        return
    lines = log.with_name(log.name + ".calls")
    with translate_disk_errors(lines), usable_path(lines):
        lines.parent.mkdir(parents=True, exist_ok=True)
        with replacing(lines) as part, part.open("wb") as file:
            file.writelines(_calls(source))
    try:
        yield lines
    finally:
        lines.unlink(missing_ok=True)


def write_answers(log: Path, out: Path) -> None:
    """Converts the answers of `log` to Parquet: custom_id, indices and relevance_scores best first, and the whole
    answer as JSON. Replaces `out` atomically."""
    pyarrow, parquet = _library()
    schema = pyarrow.schema(
        [
            ("custom_id", pyarrow.string()),
            ("index", pyarrow.list_(pyarrow.int64())),
            ("relevance_score", pyarrow.list_(pyarrow.float64())),
            ("response", pyarrow.string()),
        ]
    )
    rows = (_answer(orjson.loads(line)) for _, line in whole_lines(log))
    with (
        translate_disk_errors(out),
        usable_path(out),
        replacing(out) as part,
        parquet.ParquetWriter(part, schema) as writer,
    ):
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _calls(source: Path) -> Iterable[bytes]:
    _, parquet = _library()
    try:
        file = parquet.ParquetFile(source)
    except OSError as error:
        raise BadInput(f"{source} cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # noqa: BLE001 - pyarrow's own errors have no common base
        raise BadInput(f"{source} is no Parquet file ({error}).") from None
    columns = set(file.schema_arrow.names)
    if "query" not in columns or not columns & {"documents", "document"}:
        raise BadInput(
            f"{source} has the columns {', '.join(sorted(columns))[:200]}; it needs `query`, and `documents` (a list) "
            "or `document`."
        )
    wanted = [name for name in ("custom_id", "document", *FIELDS) if name in columns]
    for number, row in enumerate(_rows(source, file, wanted)):
        yield _call(source, number, row)


def _rows(source: Path, file: Any, wanted: list[str]) -> Iterator[dict[str, Any]]:
    batches = file.iter_batches(batch_size=_ROWS, columns=wanted)
    while True:
        try:
            rows = next(batches).to_pylist()
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - a part that is cut off or changed raises one of many
            raise BadInput(f"{source} cannot be read to its end ({error}); write it anew.") from None
        yield from rows


def _call(source: Path, number: int, row: Mapping[str, Any]) -> bytes:
    body = {name: _whole(row[name]) if name in _WHOLE else row[name] for name in FIELDS if _is_given(row.get(name))}
    if "documents" not in body:
        body["documents"] = [] if row.get("document") is None else [row["document"]]
    custom_id = str(row["custom_id"]) if _is_given(row.get("custom_id")) else f"row-{number}"
    try:
        return orjson.dumps({"custom_id": custom_id, "url": URL, "body": body}, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        raise BadInput(f"{source}, row {number}: cannot be a call ({error}); columns hold texts and numbers.") from None


def _is_given(value: Any) -> bool:
    """Whether a cell holds a value: a column of numbers with gaps has NaN in them, as pandas writes it."""
    return value is not None and value == value  # noqa: PLR0124


def _whole(value: Any) -> Any:
    """A whole number of a column with gaps, which pandas keeps as one with a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _answer(line: Mapping[str, Any]) -> dict[str, Any]:
    body = line["response"]["body"]
    results = body if isinstance(body, list) else body.get("results", body.get("rankings"))
    ranked = _ranked(results)
    return {
        "custom_id": line["custom_id"],
        "index": None if ranked is None else [index for index, _ in ranked],
        "relevance_score": None if ranked is None else [score for _, score in ranked],
        "response": orjson.dumps(body).decode(),
    }


def _ranked(results: Any) -> list[tuple[int, float]] | None:
    """Index and score of each result; None for the answer of another route, which has no such list."""
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        return None
    ranked: list[tuple[int, float]] = []
    for each in results:
        index, score = each.get("index"), next((each[key] for key in _SCORES if key in each), None)
        if not isinstance(index, int) or not isinstance(score, int | float):
            return None
        ranked.append((index, score))
    return ranked


def _library() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BadSettings("Parquet needs pyarrow (in the project's folder: pip install '.[batch]').") from None
    return pyarrow, pyarrow.parquet
