"""`limrank-train own-traces`: records whose traces are the ones that a model writes itself, as the service serves it.

A trace made from labels is always right, so a model trained on such traces learns that the verdict follows from what
the trace says. Its own traces are at times wrong. Trained on those, with the true labels, the verdict learns how far a
trace of its own is to be believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from contract.manifest import FILE_NAME
from contract.records import Record, join_licences, write_records
from trainer.benchmarks.task import Query
from trainer.errors import BadBase
from trainer.evaluation_errors import EvaluationError
from trainer.packaged_manifest import read_packaged
from trainer.run_folder import writing
from trainer.scorers.http_scorer import HttpScorer, ServiceOptions
from trainer.scorers.local_service import local_service
from trainer.settings import UNKNOWN, OwnTraces
from trainer.sft_examples import load_records, record_choice

COMPLETE = "complete"


def own_traces(settings: OwnTraces) -> None:
    """Write the chosen records anew; those drawn for direct mode, and those that had no trace, without one. One whose
    trace does not end within its budget is left out. Raises TrainError."""
    records = load_records(settings.data, record_choice(settings, settings.direct_share))
    direct = [record for record in records if record.trace is None]
    told = [record for record in records if record.trace is not None]
    licence = settings.model_licence or _stated_licence(settings.model)
    written = [replace(one, licence=join_licences([one.licence, licence])) for one in _ask(told, settings)]
    with writing(settings.out):
        write_records(settings.out, [*direct, *written])
    print(  # noqa: T201
        f"{settings.out}: {len(written)} records with a trace of the model's own, {len(direct)} without one; "
        f"{len(told) - len(written)} left out, as their traces did not end."
    )


def _stated_licence(model: str) -> str:
    """The licences that the manifest in a model's folder names; `unknown` for a model without one."""
    if not (Path(model) / FILE_NAME).is_file():
        return UNKNOWN
    return join_licences(read_packaged(Path(model)).licences) or UNKNOWN


def _ask(records: Sequence[Record], settings: OwnTraces) -> list[Record]:
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
    try:
        with local_service(settings.model, options, log, dtype=settings.dtype) as scorer:
            return list(_written(records, scorer))
    except EvaluationError as error:
        raise BadBase(str(error)) from error


def _written(records: Sequence[Record], scorer: HttpScorer) -> Iterator[Record]:
    with ThreadPoolExecutor(scorer.concurrency) as pool:
        made = pool.map(lambda record: _with_own_trace(record, scorer), records)
        for record in tqdm(made, total=len(records), desc="traces", unit="record", mininterval=1.0):
            if record is not None:
                yield record


def _with_own_trace(record: Record, scorer: HttpScorer) -> Record | None:
    asked = Query(id=record.id, text=record.query, instruction=record.instruction)
    found = scorer.score(asked, [(record.id, record.passage)])[0]
    if found.status != COMPLETE or not (found.trace or "").strip():
        return None
    return replace(record, trace=found.trace)
