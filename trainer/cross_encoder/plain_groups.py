"""Groups in the format of other trainers: lines of {"query", "pos": [...], "neg": [...]}, without a header.

`pos_scores` and `neg_scores`, a teacher's scores of the same lengths, are used in training too. A line may have an
`instruction`; other keys are ignored. Each positive makes a group with all negatives of its line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.records import Group, RecordError
from contract.scored_groups import ScoredGroup

_UNKNOWN = "unknown"


def is_plain_file(path: Path) -> bool:
    """Whether the first line is an object with a query and positives. Raises `OSError` as `open` does."""
    with path.open("rb") as file:
        try:
            first = json.loads(file.readline())
        except ValueError:
            return False
    return isinstance(first, dict) and "query" in first and "pos" in first


def read_plain_groups(path: Path) -> Iterator[Group | ScoredGroup]:
    """The groups of a file in order. Raises `RecordError` with the file and line, `OSError` as `open` does."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                try:
                    yield from _groups(number, raw)
                except RecordError as error:
                    raise RecordError(f"{path}, line {number}: {error}") from None


def _groups(number: int, raw: bytes) -> Iterator[Group | ScoredGroup]:
    try:
        row = json.loads(raw.decode("utf-8"))
    except ValueError as error:
        raise RecordError(f"not one JSON object in UTF-8 ({error}).") from None
    if not isinstance(row, dict) or not isinstance(row.get("query"), str) or not row["query"].strip():
        raise RecordError("the line must be an object with a text 'query'.")
    positives, negatives = _texts(row, "pos"), _texts(row, "neg")
    scores = _scores(row, "pos", len(positives)), _scores(row, "neg", len(negatives))
    if (scores[0] is None) != (scores[1] is None):
        raise RecordError("only one of 'pos_scores' and 'neg_scores' is there; give both or neither.")
    instruction = row.get("instruction") or None
    for place, positive in enumerate(positives):
        known: dict[str, Any] = {
            "id": f"line-{number}/{place}",
            "query": row["query"],
            "instruction": instruction,
            "source": _UNKNOWN,
            "licence": _UNKNOWN,
            "domain": _UNKNOWN,
        }
        if scores[0] is None or scores[1] is None:
            yield Group(positive=positive, negatives=tuple(negatives), **known)
        else:
            teacher = (scores[0][place], *scores[1])
            yield ScoredGroup(passages=(positive, *negatives), positive=0, teacher=teacher, **known)


def _texts(row: Mapping[str, Any], key: str) -> list[str]:
    texts = row.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise RecordError(f"'{key}' must be a list of texts that are not blank.")
    if not texts:
        raise RecordError(f"'{key}' is empty; a group needs a positive and a negative.")
    return texts


def _scores(row: Mapping[str, Any], key: str, count: int) -> list[float] | None:
    scores = row.get(f"{key}_scores")
    if scores is None:
        return None
    if not isinstance(scores, list) or len(scores) != count:
        raise RecordError(f"'{key}_scores' must be a list with one number for each text of '{key}'.")
    if not all(type(score) in {int, float} and math.isfinite(score) for score in scores):
        raise RecordError(f"'{key}_scores' must be finite numbers.")
    return [float(score) for score in scores]
