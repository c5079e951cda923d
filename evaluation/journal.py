"""An append-only journal of scores, so that a stopped run resumes.

UTF-8 JSONL. The header states what the scores belong to (task texts, scorer); every other line holds the scores of one
call: {"query", "documents", "scores", "traces"?, "statuses"?, "probes"?, "wall"}. `wall` is the seconds since the
previous line, so that the sum is the run time without the breaks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contract.files import LineLog, json_line, whole_lines
from evaluation.errors import BadData, BadSettings
from evaluation.scorers.scorer import Scored

FORMAT = "limrank.scores"
VERSION = 1


class ScoreJournal:
    """The scores of one scorer on one task. Not safe for several processes."""

    def __init__(self, path: Path, belongs_to: Mapping[str, Any]) -> None:
        """Opens or creates the journal at `path`. Raises `BadSettings` when it belongs to another task or scorer."""
        self.scores: dict[tuple[str, str], Scored] = {}
        self.wall = 0.0
        header = {"format": FORMAT, "version": VERSION, "belongs_to": dict(belongs_to)}
        if path.exists():
            self._read(path, json.loads(json.dumps(header)))
        self._log = LineLog(path)
        if not self._log.size:
            self._log.append(json_line(header))
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def add(self, query: str, documents: Sequence[str], scored: Sequence[Scored]) -> None:
        """Appends the scores of one call."""
        now = time.monotonic()
        row: dict[str, Any] = {
            "query": query,
            "documents": list(documents),
            "scores": [answer.score for answer in scored],
        }
        if any(answer.trace is not None for answer in scored):
            row |= {"traces": [answer.trace for answer in scored], "statuses": [answer.status for answer in scored]}
        if any(answer.probes is not None for answer in scored):
            row["probes"] = [answer.probes for answer in scored]
        row["wall"] = round(now - self._last, 3)
        self._last = now
        self._log.append(json_line(row))
        self._take(row)

    def _take(self, row: Mapping[str, Any]) -> None:
        nothing = [None] * len(row["documents"])
        columns = [row["scores"], *(row.get(name, nothing) for name in ("traces", "statuses", "probes"))]
        for document, score, trace, status, probes in zip(row["documents"], *columns, strict=True):
            read = None if probes is None else tuple((int(tokens), float(odds)) for tokens, odds in probes)
            self.scores[row["query"], document] = Scored(score, trace, status, read)
        self.wall += row["wall"]

    def _read(self, path: Path, header: Mapping[str, Any]) -> None:
        for number, (_, line) in enumerate(whole_lines(path), start=1):
            try:
                row = json.loads(line)
                if number == 1:
                    _check(path, row, header)
                else:
                    self._take(row)
            except (ValueError, KeyError, TypeError) as error:
                raise BadData(f"{path}, line {number}: no line of scores ({error}); delete the file.") from None


def _check(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found == wanted:
        return
    stored, current = dict(found.get("belongs_to", {})), dict(wanted["belongs_to"])
    differing = [name for name in {**stored, **current} if stored.get(name) != current.get(name)]
    shown = "; ".join(f"{name}: {stored.get(name)!r} there, {current.get(name)!r} now" for name in differing[:3])
    raise BadSettings(f"{path} holds scores made otherwise ({shown}); choose another --out, or delete that folder.")
