"""Audits a run folder or a file of records: reads it once and writes one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.output import translate_record_errors, write_text
from contract.records import Record, read_records
from synth.audit.graded import RejectedSample, Scores, by_votes, dropped_beside
from synth.audit.page import Facts, Quotas, render
from synth.audit.tallies import Sample, Tallies
from synth.pipeline import examples, scored_queries
from synth.run.folder import read_totals
from synth.settings import Method
from synth.snapshot import read_snapshot

REJECTED, GROUPS = 50, 20  # most rejected pairs, and most queries with all their passages, that are shown


def write_audit(source: Path, out: Path, *, shown: int = 100, seed: int = 0) -> Tallies:
    """Writes the page of `source`, a run folder or a file of records, and returns the counts.

    For a run folder the examples are the pairs accepted by a majority of the votes, and the page also shows the run's
    calls, costs and quotas, and the pairs that were rejected. For a file that `verify` wrote it shows what `verify`
    dropped, and for a corpus run the scores, the thresholds, and queries with all their passages. `shown` examples are
    drawn by `seed`. The same source gives the same bytes. Raises `BadInput` for a broken row, naming its line, and
    `DiskFull`; `out` is then unchanged.
    """
    tallies = Tallies(Sample(shown, seed))
    rejected = RejectedSample(min(shown, REJECTED), seed)
    if source.is_dir():
        for record in examples(source):
            tallies.add_judged(record)
            if record.accepted:
                tallies.add(record)
            else:
                rejected.add(by_votes(record))
        totals, quotas = read_totals(source).lines(), _quotas(source)
        scores = _scores(source, min(shown, GROUPS), seed)
        facts = Facts(source.resolve().name, tallies, totals, quotas, rejected, scores)
    else:
        for record in _records(source):
            tallies.add_judged(record)
            tallies.add(record)
        for each in dropped_beside(source):
            rejected.add(each)
        facts = Facts(source.name, tallies, rejected=rejected)
    write_text(out, render(facts))
    return tallies


def _records(path: Path) -> Iterator[Record]:
    with translate_record_errors():
        yield from read_records(path)


def _scores(run: Path, size: int, seed: int) -> Scores | None:
    """The scores of a corpus run; None for another method's."""
    options, _ = read_snapshot(run)
    if options.method is not Method.CORPUS:
        return None
    scores = Scores(options.corpus.negative_to, options.corpus.positive_from, size, seed)
    for query in scored_queries(run):
        scores.add(query)
    return scores


def _quotas(run: Path) -> Quotas:
    options, _ = read_snapshot(run)
    if options.method is not Method.LIMRANK:
        return Quotas(difficulties=_by_name(options.corpus.difficulties))
    section = options.limrank
    return Quotas(
        domains={name: domain.share for name, domain in section.domains.items()},
        difficulties=_by_name(section.difficulties),
        intents=_by_name(section.intents),
        negative_types=_by_name(section.negative_types),
    )


def _by_name(shares: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): share for name, share in shares.items() if share > 0}
