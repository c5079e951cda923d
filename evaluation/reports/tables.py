"""Results as tables of strings, for both the Markdown and the HTML report."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.reports.adaptive import adaptive_tables
from evaluation.reports.collecting import Collected
from evaluation.reports.lines import signed_interval_text
from evaluation.reports.ranking_tables import groups, protocols, published, ranking, readings
from evaluation.reports.stages import cascade_tables, fusion_tables
from evaluation.reports.table import Table
from evaluation.results.answers import ARMS, AnswersResult
from evaluation.results.calibration import CalibrationResult
from evaluation.results.checks import Target, TracesResult
from evaluation.results.comparison import Comparison
from evaluation.results.injections import InjectionsResult
from evaluation.results.ranking import NotRun

_MARKS = {True: "met", False: "missed", None: "not measured"}


def tables(collected: Collected) -> list[Table]:
    """The tables that have rows, in reading order."""
    made = [
        _targets(collected.targets),
        ranking(collected.rankings),
        published(collected),
        readings(collected.rankings),
        _comparisons(collected.comparisons),
        _calibration(collected.calibrations),
        _traces(collected.traces),
        _injections(collected.injections),
        _answers(collected.answers),
        *adaptive_tables(collected.adaptive),
        *fusion_tables(collected.fusions),
        *cascade_tables(collected.cascades),
        groups(collected.rankings),
        _not_run(collected.not_run),
        protocols(collected.rankings),
    ]
    return [table for table in made if table.rows]


def _targets(targets: Sequence[Target]) -> Table:
    rows = [(target.target, target.bound, target.measured, _MARKS[target.met]) for target in targets]
    return Table("Targets", "", ("target", "bound", "measured", ""), tuple(rows))


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    rows = [
        (
            comparison.system,
            comparison.other,
            comparison.measure,
            f"{comparison.found.queries:,}",
            signed_interval_text(comparison.found.difference),
            f"{comparison.found.p_randomization:.4f}",
            f"{comparison.found.p_t:.4f}",
        )
        for comparison in comparisons
    ]
    columns = ("system", "minus", "measure", "queries", "difference", "p, randomization", "p, t-test")
    return Table("Paired comparisons", "", columns, tuple(rows))


def _calibration(results: Sequence[CalibrationResult]) -> Table:
    rows = []
    for result in results:
        served, fitted = result.as_served, result.temperature
        after = "" if fitted is None else f"{fitted.after.error:.4f} at {fitted.value:.3f}, from {fitted.on}"
        shown = (f"{result.pairs:,}", f"{served.error:.4f}", after, f"{served.brier:.4f}", f"{served.log_loss:.4f}")
        rows.append((result.task, result.scorer, *shown))
    columns = ("pairs from", "scorer", "pairs", "expected error", "with temperature", "Brier", "log loss")
    return Table("Calibration", "15 bins of equally many pairs; as served.", columns, tuple(rows))


def _traces(results: Sequence[TracesResult]) -> Table:
    rows = []
    for result in results:
        shares = (result.query_right, result.passage_right, result.all_right, result.agrees, result.verdict_right)
        rows.append((result.task, result.scorer, f"{result.pairs:,}", *(f"{100 * share:.1f} %" for share in shares)))
    note = "Focus and question type, as the trace names them, against the known labels."
    columns = ("pairs from", "scorer", "pairs", "query right", "passage right", "both", "wording = verdict", "verdict")
    return Table("Traces", note, columns, tuple(rows))


def _injections(results: Sequence[InjectionsResult]) -> Table:
    rows = [
        (
            result.task,
            result.scorer,
            f"{result.protocol.first_stage} top-{result.protocol.depth}",
            f"{result.in_top} of {result.probes}",
            f"{result.clean_in_top} of {result.probes}",
            f"{result.mean_shift:+.2f}",
        )
        for result in results
    ]
    columns = ("task", "scorer", "ranked among", "in the top 3", "without the sentence", "mean change of log-odds")
    return Table("Injected sentences", "Irrelevant passages that ask to be called relevant.", columns, tuple(rows))


def _answers(results: Sequence[AnswersResult]) -> Table:
    rows = [
        (
            result.task,
            result.scorer,
            result.protocol.answered_by,
            str(result.questions),
            *(f"{100 * result.accuracy[arm].mean:.1f} %" for arm in ARMS),
            str(sum(result.unreadable.values())),
        )
        for result in results
    ]
    columns = ("task", "scorer", "answered by", "questions", "no passages", "first stage", "reranked", "unreadable")
    return Table("Answers", "", columns, tuple(rows))


def _not_run(tasks: Sequence[NotRun]) -> Table:
    return Table("Not run", "", ("task", "why"), tuple((task.task, task.not_run) for task in tasks))
