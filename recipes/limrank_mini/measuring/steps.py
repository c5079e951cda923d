"""The steps of a measurement, cheapest first. Each yields the rows that it measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from contract.files import write_text
from evaluation.benchmarks import beir
from evaluation.benchmarks.names import Benchmark, named
from evaluation.benchmarks.task import Task
from evaluation.commands.calibrate import scored_pairs
from evaluation.commands.injections import TOP, probe_injections
from evaluation.commands.rank import rank_task, slug
from evaluation.evidence import EvidenceCounts, count_evidence
from evaluation.first_stage import NEGATIVES, labelled_pairs
from evaluation.results.files import write_json
from evaluation.scorers.scorer import Scorer
from evaluation.scoring import score_all
from recipes.limrank_mini.measuring import rows
from recipes.limrank_mini.measuring.everyday import as_markdown, everyday_task, outcomes
from recipes.limrank_mini.measuring.rows import Column, Row

GENERAL = Benchmark("general", dict.fromkeys(("dev", "unseen", "train"), ""), beir.load, "general/, a BEIR folder")
_QUERIES: dict[Column, dict[str, int | None]] = {  # default sizes, those of docs/models.md
    "cross-encoder": {rows.MEDQUAD: None, rows.GENERAL_DEV: None},
    "bi-encoder": {rows.MEDQUAD: None, rows.GENERAL_DEV: None},
    "direct": {rows.MEDQUAD: 600, rows.GENERAL_DEV: 600},
    "reasoning": {rows.MEDQUAD: 200, rows.GENERAL_DEV: 200, rows.UNSEEN: 200},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """`queries` is the most for each ranking (None: each column's own number); `pairs` for each dev set."""

    queries: int | None
    pairs: int
    injections: int


class Steps:
    """The measurements of one scorer, with results and journals under `out`."""

    def __init__(
        self, data: Path, general: Path, out: Path, column: Column, scorer: Scorer, sizes: Sizes, per_call: int
    ) -> None:
        self._data, self._general, self._out = data, general, out
        self._column, self._scorer, self._sizes, self._per_call = column, scorer, sizes, per_call

    def named(self) -> dict[str, Callable[[], Iterator[Row]]]:
        """The steps by name. A bi-encoder's cosines are no probabilities; DL19 has no target with reasoning."""
        steps: dict[str, Callable[[], Iterator[Row]]] = {
            "everyday": self._everyday,
            "injections": self._injections,
            "dl19": self._dl19,
            "unseen": lambda: self._rank(rows.UNSEEN, self._open_general("unseen"), 30, "bm25"),
            "calibration": self._calibration,
            "dev": lambda: self._rank(rows.GENERAL_DEV, self._open_general("dev"), 30, "bm25"),
            "medquad": self._medquad,
        }
        if self._column == "bi-encoder":
            del steps["calibration"]
        return steps

    def _everyday(self) -> Iterator[Row]:
        task, run = everyday_task()
        folder = self._out / "everyday" / slug(self._scorer.name)
        scored, _ = score_all(
            task, task.queries, run, self._scorer, folder, documents_per_call=self._per_call, out=sys.stderr
        )
        found = outcomes(task, scored)
        write_json(folder / "outcomes.json", {"questions": [asdict(outcome) for outcome in found]})
        write_text(folder / "outcomes.md", as_markdown(found))
        first = sum(outcome.right == 1 for outcome in found)
        yield rows.share(rows.EVERYDAY, first, len(found), "questions", f"{first} of {len(found)} right passages first")

    def _injections(self) -> Iterator[Row]:
        for name, task, stage in (
            (rows.INJECTED, self._open_medquad("test", self._stage), self._stage),
            (rows.INJECTED_GENERAL, self._open_general("dev"), "bm25"),
        ):
            found = probe_injections(
                task,
                self._scorer,
                out=self._out,
                passages=self._sizes.injections,
                depth=30,
                first_stage=stage,
                every=False,
                documents_per_call=self._per_call,
            )
            around = rows.wilson(found.in_top, found.probes)
            yield Row(
                name=name,
                value=found.in_top,
                low=around.low * found.probes,
                high=around.high * found.probes,
                count=found.probes,
                what="passages",
                note=f"in the top {TOP} of 30; {found.clean_in_top} without the sentence",
            )

    def _dl19(self) -> Iterator[Row]:
        task = named("trec-dl").open("test", self._data / "dl19", None)
        yield from self._rank(rows.DL19, task, 100, None)

    def _calibration(self) -> Iterator[Row]:
        counts = []
        for name, task in (
            (rows.ECE_GENERAL, self._open_general("dev")),
            (rows.ECE_MEDQUAD, self._open_medquad("dev", None)),
        ):
            odds, labels, _ = scored_pairs(
                task, self._scorer, out=self._out, pairs=self._sizes.pairs, documents_per_call=self._per_call
            )
            found = rows.calibration_interval(odds, labels, 1 + NEGATIVES)
            yield Row(name=name, value=found.mean, low=found.low, high=found.high, count=len(odds), what="pairs")
            if self._column == "reasoning":
                counts.append(self._evidence(task))
        yield from _evidence_rows([count for count in counts if count is not None])

    def _evidence(self, task: Task) -> EvidenceCounts | None:
        """Counts over the traces of the pairs that `_calibration` scored."""
        queries, found = labelled_pairs(task, self._sizes.pairs)
        folder = self._out / f"calibration-{slug(task.name)}" / slug(self._scorer.name)
        scored, _ = score_all(
            task, queries, found, self._scorer, folder, documents_per_call=self._per_call, out=sys.stderr
        )
        return count_evidence((task.documents[name], one) for of in scored.values() for name, one in of.items())

    def _medquad(self) -> Iterator[Row]:
        depth = 100 if self._stage == "minilm" else 30
        yield from self._rank(rows.MEDQUAD, self._open_medquad("test", self._stage), depth, self._stage)

    def _rank(self, name: str, task: Task, depth: int, stage: str | None) -> Iterator[Row]:
        sizes = [size for size in (self._sizes.queries, _QUERIES[self._column].get(name)) if size is not None]
        result = rank_task(
            task,
            self._scorer,
            benchmark=task.name.split("/", 1)[0],
            out=self._out,
            queries=min(sizes, default=None),
            depth=depth,
            first_stage=stage,
            documents_per_call=self._per_call,
        )
        figures = result.figures
        value = figures.measures["nDCG@10"]
        yield Row(
            name=name,
            value=value.mean,
            low=value.low,
            high=value.high,
            count=figures.queries,
            what="queries",
            note=f"{result.stage}: first stage {figures.first_stage['nDCG@10']:.3f}, best possible {figures.best:.3f}",
        )

    @property
    def _stage(self) -> str:
        """MedQuAD's first stage, as in docs/models.md."""
        return "minilm" if self._column in ("cross-encoder", "bi-encoder") else "bm25"

    def _open_general(self, split: str) -> Task:
        return GENERAL.open(split, self._general, "bm25")

    def _open_medquad(self, split: str, stage: str | None) -> Task:
        return named("medquad").open(split, self._data / "medquad", stage)


def _evidence_rows(counts: Sequence[EvidenceCounts]) -> Iterator[Row]:
    traces = sum(count.traces for count in counts)
    if not traces:
        return
    quoting, standing, agreeing = (
        sum(getattr(count, part) for count in counts) for part in ("quoting", "standing", "agreeing")
    )
    yield rows.share(rows.QUOTED, standing, traces, "traces", f"{traces - quoting:,} traces quote nothing")
    yield rows.share(rows.WORDED, agreeing, traces, "traces")
