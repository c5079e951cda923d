"""`limrank-train own-traces`: records with traces that a model writes itself, as the service serves it.

A trace made from labels is always right, so a model trained on such traces learns that the verdict follows from the
trace. Its own traces are sometimes wrong. Training on those with the true labels teaches the verdict how far the
model's own traces can be trusted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from contract.about import state_cost
from contract.checkpoint.manifest import FILE_NAME
from contract.records import Record, join_licences, write_records
from evaluation import errors as evaluation_errors
from evaluation.benchmarks.task import Query
from evaluation.journal import ScoreJournal
from evaluation.scorers.http import ServiceOptions
from evaluation.scorers.local_service import local_service
from evaluation.scorers.scorer import Scored, Scorer
from trainer.errors import ServiceFailed
from trainer.run.data import data_cost
from trainer.run.folder import writing
from trainer.run.manifests import read_packaged
from trainer.settings import UNKNOWN, OwnTraces
from trainer.sft.examples import RecordChoice, load_records

COMPLETE = "complete"
_SLOW_LINES = 30.0  # seconds between progress lines when the output is not a terminal


def own_traces(settings: OwnTraces) -> None:
    """Writes the chosen records with the model's traces. Raises TrainError.

    Records drawn for direct mode, and those without a trace, get none. A record whose trace does not end within its
    budget is left out. The traces are kept in a folder beside the file until it is written, so that after a kill the
    same command requests only the missing ones.
    """
    records = load_records(settings.data, RecordChoice.of(settings, settings.direct_share))
    cost = data_cost(settings.data)
    direct = [record for record in records if record.trace is None]
    traced = [record for record in records if record.trace is not None]
    licence = settings.model_licence or _stated_licence(settings.model)
    kept = settings.out.with_name(settings.out.name + ".traces")
    written = [
        replace(record, trace=answer.trace, licence=join_licences([record.licence, licence]))
        for record, answer in zip(traced, _served_traces(traced, settings, kept), strict=True)
        if answer.status == COMPLETE and (answer.trace or "").strip()
    ]
    with writing(settings.out):
        write_records(settings.out, [*direct, *written])
        state_cost(settings.out, cost)
    shutil.rmtree(kept, ignore_errors=True)
    print(  # noqa: T201
        f"{settings.out}: {len(written)} records with a trace of the model's own, {len(direct)} without one; "
        f"{len(traced) - len(written)} left out, as their traces did not end."
    )


def _stated_licence(model: str) -> str:
    """The licences in the manifest of a model's folder; `unknown` for a model without one."""
    if not (Path(model) / FILE_NAME).is_file():
        return UNKNOWN
    return join_licences(read_packaged(Path(model)).licences) or UNKNOWN


def _served_traces(records: Sequence[Record], settings: OwnTraces, kept: Path) -> list[Scored]:
    """The model's answer to each record, from a service that runs meanwhile."""
    options = ServiceOptions(
        mode="reasoning",
        max_reasoning_tokens=settings.trace_tokens,
        max_tokens_per_doc=settings.passage_tokens,
        concurrency=settings.concurrency,
    )
    log = settings.out.with_name(settings.out.name + ".service.log")
    with writing(settings.out):
        kept.mkdir(parents=True, exist_ok=True)
        log.touch()
    with (
        _evaluation_errors(),
        local_service(settings.model, options, log, dtype=settings.dtype) as service,
        writing(settings.out),
    ):
        return ask_traces(records, service, kept / "scores.jsonl")


def ask_traces(records: Sequence[Record], service: Scorer, journal: Path) -> list[Scored]:
    """The answer of a reasoning service to each record, one record per call, `service.concurrency` calls at a time.

    Answers are kept in `journal` as they arrive, by the number of their record, because a file may contain an id twice;
    those in the journal are not requested again. Raises EvaluationError.
    """
    belongs_to = {"task": "own traces", "texts": _fingerprint(records), **service.identity()}
    with ScoreJournal(journal, belongs_to) as answers:
        names = [str(number) for number in range(len(records))]
        missing = [number for number, name in enumerate(names) if (name, name) not in answers.scores]
        pool = ThreadPoolExecutor(service.concurrency)
        bar = _progress(service.name, len(records), len(missing))
        try:
            calls = {pool.submit(_ask, service, names[number], records[number]): names[number] for number in missing}
            for call in as_completed(calls):
                answers.add(calls[call], [calls[call]], call.result())
                bar.update()
        finally:
            bar.close()
            pool.shutdown(wait=False, cancel_futures=True)
        return [answers.scores[name, name] for name in names]


def _ask(service: Scorer, name: str, record: Record) -> list[Scored]:
    query = Query(id=name, text=record.query, instruction=record.instruction)
    return service.score(query, [(name, record.passage)])


def _fingerprint(records: Sequence[Record]) -> str:
    """Changes with any text that the service reads, so that answers to other texts are not reused."""
    texts = [(record.query, record.instruction, record.passage) for record in records]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _progress(name: str, total: int, missing: int) -> tqdm:
    return tqdm(
        total=total,
        initial=total - missing,
        desc=f"own traces, {name}",
        unit="record",
        file=sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() else _SLOW_LINES,
        dynamic_ncols=sys.stderr.isatty(),
    )


@contextmanager
def _evaluation_errors() -> Iterator[None]:
    """Turns the errors of evaluation into the trainer's."""
    try:
        yield
    except evaluation_errors.ScorerFailed as error:
        raise ServiceFailed(str(error)) from error
