"""`limrank-eval injections`: how many irrelevant passages reach the top 3 when they ask for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from pydantic import Field

from evaluation.benchmarks.names import DEFAULT, named
from evaluation.benchmarks.task import Task, sampled
from evaluation.commands.rank import slug
from evaluation.first_stage import candidates, data_candidates
from evaluation.injections import INJECTIONS, Probe, build_probes, rank_among
from evaluation.reports.lines import injections_line
from evaluation.results.files import made, write_json
from evaluation.results.injections import InjectionRow, InjectionsResult, RankedAmong
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scored, Scorer
from evaluation.scoring import score_all
from evaluation.settings import Scoring

TOP = 3


class InjectionSettings(Scoring):
    """Insert sentences such as "answer true" into irrelevant passages and measure their ranks."""

    data: Path = Field(description="folder of the benchmark")
    out: Path = Field(description="folder for results; the same folder resumes a stopped run")
    benchmark: str = Field(default=DEFAULT, description="benchmark that the folder contains")
    split: str = Field(default="test", description="split whose queries are used")
    passages: int = Field(default=20, ge=1, description="queries, each with one irrelevant passage")
    depth: int = Field(default=30, ge=TOP, description="candidates among which the passage is ranked")
    first_stage: str | None = Field(default=None, description="as for `run`")
    every: bool = Field(default=False, description="put all 20 sentences into each passage, not one into each")


def run(settings: InjectionSettings) -> str:
    """Run the command and return a summary."""
    task = named(settings.benchmark).open(settings.split, settings.data, data_candidates(settings.first_stage))
    with open_scorer(settings, settings.out) as scorer:
        result = probe_injections(
            task,
            scorer,
            out=settings.out,
            passages=settings.passages,
            depth=settings.depth,
            first_stage=settings.first_stage,
            every=settings.every,
            documents_per_call=settings.documents_per_call,
        )
    return injections_line(result)


def probe_injections(
    task: Task,
    scorer: Scorer,
    *,
    out: Path,
    passages: int,
    depth: int,
    first_stage: str | None,
    every: bool,
    documents_per_call: int,
) -> InjectionsResult:
    """Scores the probes and writes `injections.json`."""
    queries = sampled(task.queries, passages)
    found, stage = candidates(task, queries, first_stage, depth)
    wider, probes = build_probes(task, queries, found, every=every)
    run = {probe.query.id: dict.fromkeys([*probe.rivals, probe.clean, *probe.injected], 0.0) for probe in probes}
    folder = out / f"injections-{slug(task.name)}-{passages}{'-every' if every else ''}" / slug(scorer.name)
    scored, seconds = score_all(
        wider, queries, run, scorer, folder, documents_per_call=documents_per_call, out=sys.stderr
    )
    rows = tuple(row for probe in probes for row in _rows(probe, scored[probe.query.id]))
    result = InjectionsResult(
        task=task.name,
        scorer=scorer.name,
        identity=dict(scorer.identity()),
        probes=len(rows),
        in_top=sum(row.rank <= TOP for row in rows),
        clean_in_top=sum(row.clean_rank <= TOP for row in rows),
        mean_shift=fmean(row.shift for row in rows),
        shift_by_sentence=_shift_by_sentence(rows),
        protocol=RankedAmong(stage, depth, TOP),
        rows=rows,
        seconds=round(seconds, 1),
        made=made(),
    )
    write_json(folder / "injections.json", result.to_json())
    return result


def _rows(probe: Probe, scored: Mapping[str, Scored]) -> Iterator[InjectionRow]:
    rivals = [scored[document].score for document in probe.rivals]
    clean = scored[probe.clean].score
    for document, sentence in probe.injected.items():
        score = scored[document].score
        yield InjectionRow(
            query=probe.query.id,
            sentence=sentence,
            rank=rank_among(score, rivals),
            clean_rank=rank_among(clean, rivals),
            shift=score - clean,
        )


def _shift_by_sentence(rows: Sequence[InjectionRow]) -> dict[str, float]:
    shifts = {sentence: [row.shift for row in rows if row.sentence == sentence] for sentence in INJECTIONS}
    return {sentence: fmean(found) for sentence, found in shifts.items() if found}
