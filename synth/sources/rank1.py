"""Rank1-style training data (Weller et al. 2025, arXiv 2502.18418): a prompt, a trace and a verdict in each row.

Reads three shapes of row, in a JSON array or in JSON Lines:

    {"instruction": ..., "input": ..., "output": ...}       the prompt in two parts, as published
    {"messages": [...]} or {"conversations": [...]}         the same as a chat of one turn
    {"query": ..., "passage": ..., "relevant": ..., "trace": ...}

In the first two the prompt contains `Query: ...` and then `Passage: ...`, and the output is `<think>trace</think>
true`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.output import write_whole
from contract.records import Record, RecordError, write_records
from retrieval.json_rows import read_rows
from synth.errors import BadInput
from synth.llm.traces import delimiter_in
from synth.scratch import SeenKeys, digest, scratch
from synth.sources.labels import Labels
from synth.sources.rejects import ImportReport, RejectsFile, rejects_beside

_PROMPT = re.compile(r"^Query:[ \t]*(?P<query>.*?)\n[ \t]*Passage:[ \t]*(?P<passage>.*)\Z", re.DOTALL | re.MULTILINE)
_OUTPUT = re.compile(r"\s*(?:<think>)?(?P<trace>.*)</think>\s*(?P<verdict>true|false)[.\s]*", re.DOTALL | re.I)
_WORDS = {"true": True, "false": False}
_ASKING = ("user", "human")
_ANSWERING = ("assistant", "gpt")


@dataclass(frozen=True, slots=True)
class _Pair:
    query: str
    passage: str
    relevant: bool
    trace: str | None
    instruction: str | None = None


def import_rank1(path: Path, out: Path, labels: Labels) -> ImportReport:
    """Writes one record per readable row of `path`; memory does not grow with the file.

    A record's id is the row's own (`id` or `_id`) after the source, or the row's number. Unreadable rows and rows with
    a repeated id are kept in `OUT.rejected.jsonl`. Raises `BadInput` when no row is readable or an array is truncated,
    and `DiskFull`; `out` is then unchanged.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with rejects_beside(out) as rejects, scratch(out.parent) as connection:
        reader = _Reader(path, labels, rejects, SeenKeys(connection))
        written = write_whole(out, write_records, reader.records())
        return rejects.report(written, reader.relevant)


class _Reader:
    def __init__(self, path: Path, labels: Labels, rejects: RejectsFile, seen: SeenKeys) -> None:
        self._path = path
        self._labels = labels
        self._rejects = rejects
        self._seen = seen
        self.relevant = 0

    def records(self) -> Iterator[Record]:
        count = 0
        for row in read_rows(self._path):
            try:
                record = self._record(row.number, row.value, row.problem)
            except (ValueError, RecordError) as error:
                self._rejects.add(self._path, row.number, str(error), row.raw)
                continue
            count += 1
            self.relevant += record.relevant
            yield record
        if count == 0:
            reason = f" ({self._rejects.sentences[0]})" if self._rejects.sentences else ""
            raise BadInput(f"{self._path}: no row could be read{reason}; give Rank1-style JSON or JSON Lines.")

    def _record(self, number: int, value: dict[str, Any] | None, problem: str) -> Record:
        if value is None:
            raise ValueError(problem)
        pair = _pair(value)
        delimiter = delimiter_in(pair.trace or "")
        if delimiter:
            raise ValueError(f"its trace holds {delimiter}, which ends a trace; take it out.")
        own_id = value.get("id", value.get("_id"))
        name = str(number if own_id is None else own_id)
        record = Record(
            id=f"{self._labels.source}/{name}",
            query=pair.query,
            passage=pair.passage,
            instruction=pair.instruction,
            relevant=pair.relevant,
            trace=pair.trace,
            source=self._labels.source,
            licence=self._labels.licence,
            domain=self._labels.domain,
            difficulty=self._labels.difficulty,
            intent=self._labels.intent,
        )
        earlier = self._seen.first_row(digest(name), number)
        if earlier is not None:
            raise ValueError(f"the id '{name}' was given at row {earlier}; ids must differ.")
        return record


def _pair(value: Mapping[str, Any]) -> _Pair:
    """Parses a row of any of the three shapes. Raises `ValueError` with a sentence."""
    if "query" in value:
        return _plain(value)
    if "output" in value:
        prompt = "\n".join(_text(value, name) for name in ("instruction", "input") if value.get(name))
        return _prompted(prompt, _text(value, "output"))
    for name in ("messages", "conversations"):
        if isinstance(value.get(name), list):
            return _prompted(*_turns(name, value[name]))
    keys = ", ".join(list(value)[:6])
    raise ValueError(f"its keys are {keys}; expected instruction, input and output, or messages, or query and passage.")


def _plain(value: Mapping[str, Any]) -> _Pair:
    passage = next((name for name in ("passage", "document", "text") if name in value), "passage")
    label = next((name for name in ("relevant", "label", "is_relevant") if name in value), "relevant")
    trace = next((name for name in ("trace", "reasoning", "thinking") if value.get(name)), None)
    return _Pair(
        query=_text(value, "query"),
        passage=_text(value, passage),
        relevant=_verdict(label, value.get(label)),
        trace=_text(value, trace) if trace else None,
        instruction=_text(value, "instruction") if value.get("instruction") else None,
    )


def _prompted(prompt: str, output: str) -> _Pair:
    asked = _PROMPT.search(prompt)
    if asked is None:
        raise ValueError("the prompt has no line 'Query: ...' with a line 'Passage: ...' after it.")
    answered = _OUTPUT.fullmatch(output)
    if answered is None:
        raise ValueError(f"the output ends in '{output[-40:].strip()}'; it must end in '</think> true' or 'false'.")
    return _Pair(
        query=asked["query"].strip(),
        passage=asked["passage"].strip().removesuffix("<think>").strip(),
        relevant=_WORDS[answered["verdict"].lower()],
        trace=answered["trace"].strip() or None,
    )


def _turns(name: str, turns: list[Any]) -> tuple[str, str]:
    texts: dict[bool, str] = {}
    for turn in turns:
        if not isinstance(turn, dict):
            raise ValueError(f"'{name}' holds {type(turn).__name__}; it must hold objects.")  # noqa: TRY004 - a bad row
        role = turn.get("role", turn.get("from"))
        if role in _ASKING + _ANSWERING:
            texts.setdefault(role in _ASKING, _text(turn, "content" if "content" in turn else "value"))
    if len(texts) < 2:
        raise ValueError(f"'{name}' needs one turn of the user and one of the assistant.")
    return texts[True], texts[False]


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise ValueError(f"'{name}' is {type(text).__name__}; it must be a text.")  # noqa: TRY004 - a bad row
    return text


def _verdict(name: str, value: object) -> bool:
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value)
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError(f"'{name}' is {value!r}; it must be true or false.")
