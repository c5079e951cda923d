"""Exports sources into one training file, with a sidecar that states its contents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.output import translate_disk_errors, write_json_lines, write_whole
from contract.about import About, beside, write_about
from contract.records import write_groups, write_records
from synth.errors import BadInput, BadSettings
from synth.export.answers import Answers
from synth.export.formats import Format
from synth.export.mix import drawn, in_turn
from synth.export.reader import ExportOptions, Reader
from synth.export.sources import Source
from synth.scratch import SeenKeys, scratch

VERSION = 1


def export(sources: Sequence[Source], out: Path, settings: ExportOptions) -> About:
    """Writes one training file from all sources, and `OUT.about.json`. The same sources and settings give the same
    bytes.

    A source's `count` is the number of rows to draw from it (records when pointwise, otherwise rows of the format); the
    sources are then mixed in these proportions. Memory is constant: rows are sorted on disk beside `out`.

    Raises `BadInput` for a broken row or a repeated id, naming file and row, `BadSettings` when the sources have too
    few rows, `DiskFull`; `out` is then unchanged.
    """
    if not sources:
        raise BadSettings("There is nothing to export; name a run folder or a file.")
    about = About(settings.format, cost=sum(source.cost() for source in sources))
    with ExitStack() as stack:
        connection = stack.enter_context(scratch(out.parent))
        seen, answers = SeenKeys(connection), Answers(sources, connection, state_intent=settings.state_intent)
        readers = [Reader(source, settings, about, seen, answers) for source in sources]
        parts = [reader.rows(out.parent, stack) for reader in readers]
        _write(out, settings.format, _counted(_mixed(sources, parts, settings), about))
    with translate_disk_errors(beside(out)):
        write_about(about, out, _said(sources, settings))
    return about


def _mixed(
    sources: Sequence[Source], parts: Sequence[Callable[[], Iterable[Any]]], settings: ExportOptions
) -> Iterator[Any]:
    if len(parts) == 1 and sources[0].count is None:
        return iter(parts[0]())
    seed = settings.shape.seed
    return in_turn(
        [drawn(rows, _key, source.count, seed, str(source.path)) for source, rows in zip(sources, parts, strict=True)]
    )


def _write(out: Path, file_format: Format, rows: Iterable[Any]) -> None:
    if file_format is Format.POINTWISE:
        write_whole(out, write_records, rows)
    elif file_format is Format.LCE:
        write_whole(out, write_groups, rows)
    else:
        write_json_lines(out, {"format": f"limrank.{file_format}", "version": VERSION}, rows)


def _counted(rows: Iterable[Any], about: About) -> Iterator[Any]:
    """Counts the rows. Raises `BadInput` when there are none, so that no empty file is left."""
    empty = True
    for row in rows:
        empty = False
        about.count(row)
        yield row
    if empty:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(about.left_out.items()))
        raise BadInput(f"Nothing is left to export{f' ({reasons})' if reasons else ''}; look at the sources and flags.")


def _key(row: Any) -> str:
    return str(row["id"] if isinstance(row, dict) else row.id)


def _said(sources: Sequence[Source], settings: ExportOptions) -> dict[str, object]:
    """The settings in the form that the sidecar states; paths by their last part."""
    named = [{"source": source.path.name, "count": source.count} for source in sources]
    return {**asdict(settings), "only_licence": list(settings.only_licence), "sources": named}
