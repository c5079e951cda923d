"""`limrank batch IN OUT`: opens IN and the files of OUT, answers what is missing, and prints a summary."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import uvloop

from app.batch import parquet
from app.batch.asking import Asker
from app.batch.calls import Calls
from app.batch.progress import Progress
from app.batch.results import Results
from app.batch.running import CALLS_AT_URL, CALLS_HERE, Run
from app.batch.settings import PROGRAM, Batch
from app.connection import Target, connect, key_from, model_flags, note
from app.errors import Incomplete
from cli.commands import Subcommand
from cli.errors import Interrupted


def batch(settings: Batch) -> str:
    """Answers the calls without an answer and returns a summary. Raises Incomplete when calls failed, Interrupted on a
    signal."""
    log = parquet.log_of(settings.out)
    parquet.refuse_another(settings.out, log)
    with parquet.lines_of(settings.source, log) as lines:
        calls = Calls(lines, settings.source)
        try:
            return _batch(settings, calls, log)
        finally:
            calls.close()


def _batch(settings: Batch, calls: Calls, log: Path) -> str:
    with Results(log, calls) as results:
        left = len(calls) - int(results.done.sum())
        count = left if settings.limit is None else min(left, settings.limit)
        note(_opening(settings, len(calls), results, count))
        sentences = []
        if count:
            progress = Progress(count)
            rows = islice(calls.order(results.done), count)
            try:
                whole = _answer(settings, calls, rows, results, progress)
            finally:
                progress.close()
            sentences.append(progress.summary())
            if not whole:
                raise Interrupted(f"{sentences[0]}. Stopped by a signal; the same command goes on.")
            left -= progress.answered + progress.failed
            failed = results.failed + progress.failed
        else:
            failed = results.failed
    if settings.out != log and not left:
        parquet.write_answers(log, settings.out)
    if left:
        sentences.append(f"{left:,} calls are left; the same command goes on")
    elif not count:
        sentences.append(f"All {len(calls):,} calls have been answered before")
    if failed:
        raise Incomplete(f"{'. '.join(sentences)}. {failed:,} calls failed; {results.errors} says why, one a line.")
    return f"{'. '.join(sentences)}. The answers: {settings.out if not left else log}"


def _opening(settings: Batch, calls: int, results: Results, count: int) -> str:
    before = int(results.done.sum())
    done = f", {before:,} of them done before" if before else ""
    return f"limrank batch: {calls:,} calls in {settings.source}{done}; {count:,} to answer now"


def _answer(settings: Batch, calls: Calls, rows: Iterator[int], results: Results, progress: Progress) -> bool:
    """Answers the calls of `rows` in this process, by a service or on a cluster. Returns False when a signal stopped
    it."""
    if settings.ray is not None:
        from app.batch.on_ray import answer_on_ray

        return answer_on_ray(settings, calls, rows, results, progress)
    return uvloop.run(_over_one_connection(settings, calls, rows, results, progress))


async def _over_one_connection(
    settings: Batch, calls: Calls, rows: Iterator[int], results: Results, progress: Progress
) -> bool:
    here = settings.url is None
    concurrency = settings.concurrency or (CALLS_HERE if here else CALLS_AT_URL)
    async with connect(target_of(settings), concurrency) as connection:
        results.belongs_to(connection.model)
        asker = Asker(connection.client, None if here else settings.timeout_seconds)
        return await Run(calls, rows, results, asker, progress).run(concurrency)


def target_of(settings: Batch) -> Target:
    """Who answers, according to the settings."""
    flags = model_flags(
        model=settings.model,
        engine=settings.engine,
        mode=settings.mode,
        default_reasoning_budget=settings.reasoning_budget,
        threads=settings.threads,
    )
    return Target(url=settings.url, key=key_from(settings.key_variable), flags=flags)


__all__ = ["COMMAND", "PROGRAM"]

COMMAND = Subcommand("batch", Batch, batch)
