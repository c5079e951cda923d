"""`limrank-train own-traces`: records whose traces are the ones that a model writes itself, as the service serves it.

A trace made from labels is always right, so a model trained on such traces learns that the verdict follows from what
the trace says. Its own traces are at times wrong. Trained on those, with the true labels, the verdict learns how far a
trace of its own is to be believed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from contract.about import state_cost
from contract.manifest import FILE_NAME
from contract.records import Record, join_licences, write_records
from evaluation.benchmarks.task import Protocol, Query, Task
from evaluation.scorers.http import ServiceOptions
from evaluation.scorers.local_service import local_service
from evaluation.scorers.scorer import Scored
from evaluation.scoring import score_all
from trainer.cross_encoder.groups import data_cost
from trainer.errors import BadBase, CommandError, TrainError
from trainer.run.folder import writing
from trainer.run.manifests import read_packaged
from trainer.settings import UNKNOWN, OwnTraces
from trainer.sft.examples import load_records, record_choice

COMPLETE = "complete"


def own_traces(settings: OwnTraces) -> None:
    """Write the chosen records anew; those drawn for direct mode, and those that had no trace, without one. One whose
    trace does not end within its budget is left out. The traces are kept in a folder beside the file until it is
    written, so that after a kill the same command asks only for the others. Raises TrainError."""
    records = load_records(settings.data, record_choice(settings, settings.direct_share))
    cost = data_cost(settings.data)
    direct = [record for record in records if record.trace is None]
    told = [record for record in records if record.trace is not None]
    licence = settings.model_licence or _stated_licence(settings.model)
    kept = settings.out.with_name(settings.out.name + ".traces")
    written = [
        replace(record, trace=one.trace, licence=join_licences([record.licence, licence]))
        for record, one in zip(told, _ask(told, settings, kept), strict=True)
        if one.status == COMPLETE and (one.trace or "").strip()
    ]
    with writing(settings.out):
        write_records(settings.out, [*direct, *written])
        state_cost(settings.out, cost)
    shutil.rmtree(kept, ignore_errors=True)
    print(  # noqa: T201
        f"{settings.out}: {len(written)} records with a trace of the model's own, {len(direct)} without one; "
        f"{len(told) - len(written)} left out, as their traces did not end."
    )


def _stated_licence(model: str) -> str:
    """The licences that the manifest in a model's folder names; `unknown` for a model without one."""
    if not (Path(model) / FILE_NAME).is_file():
        return UNKNOWN
    return join_licences(read_packaged(Path(model)).licences) or UNKNOWN


def _ask(records: Sequence[Record], settings: OwnTraces, kept: Path) -> list[Scored]:
    """What the model says to each record. What `kept` holds is not asked again."""
    options = ServiceOptions(
        mode="reasoning",
        max_reasoning_tokens=settings.trace_tokens,
        max_tokens_per_doc=settings.passage_tokens,
        concurrency=settings.concurrency,
    )
    log = settings.out.with_name(settings.out.name + ".service.log")
    with writing(settings.out):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    task = _one_passage_each(records)
    pairs = {query.id: {query.id: 0.0} for query in task.queries}
    try:
        with local_service(settings.model, options, log, dtype=settings.dtype) as scorer, writing(settings.out):
            found, _ = score_all(task, task.queries, pairs, scorer, kept, documents_per_call=1, out=sys.stderr)
    except TrainError:
        raise
    except CommandError as error:
        raise BadBase(str(error)) from error
    return [found[query.id][query.id] for query in task.queries]


def _one_passage_each(records: Sequence[Record]) -> Task:
    """The records as a ranking task, by their places: a file may hold an id twice."""
    queries = (Query(id=str(at), text=one.query, instruction=one.instruction) for at, one in enumerate(records))
    return Task(
        name="own traces",
        queries=tuple(queries),
        documents={str(at): record.passage for at, record in enumerate(records)},
        qrels={},
        protocol=Protocol(source="records", licence=UNKNOWN, split="train", query="query", passage="passage"),
    )
