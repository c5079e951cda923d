"""One-line summaries of results, for the terminal."""

from __future__ import annotations

from evaluation.evidence import EvidenceCounts
from evaluation.results.adaptive import AdaptiveResult
from evaluation.results.answers import AnswersResult
from evaluation.results.calibration import CalibrationResult
from evaluation.results.cascade import CascadeResult
from evaluation.results.comparison import Comparison
from evaluation.results.fusion import FusionResult
from evaluation.results.injections import InjectionsResult
from evaluation.results.ranking import RankingResult
from evaluation.significance import Interval


def result_line(result: RankingResult) -> str:
    """`trec-dl/dl19 (43 queries, bm25 top-100): BM25 nDCG@10 0.9520 [0.9440, 0.9600], ...`."""
    figures = result.figures
    measure = figures.ranking_headline
    without = figures.without_candidates
    missed = f"; the first stage found nothing for {without:,} of them, which count as 0" if without else ""
    return (
        f"{result.task} ({figures.queries:,} queries, {result.stage}): "
        f"{result.scorer} {figures.headline} {interval_text(figures.measures[figures.headline])}; "
        f"first stage {measure} {figures.first_stage[measure]:.4f}, "
        f"best possible {figures.best:.4f}, p = {figures.against_first_stage.p_randomization:.4f}{missed}"
        f"{'' if figures.evidence is None else f'; {evidence_text(figures.evidence)}'}"
    )


def evidence_text(found: EvidenceCounts) -> str:
    """`of 150 traces 98.7 % quote what stands in the passage, and 99.3 % say in words what the score says`."""
    standing, agreeing = (100 * count / found.traces for count in (found.standing, found.agreeing))
    return (
        f"of {found.traces:,} traces {standing:.1f} % quote what stands in the passage, and {agreeing:.1f} % say in "
        "words what the score says"
    )


def calibration_line(result: CalibrationResult) -> str:
    """The expected calibration error as served, and with the fitted temperature."""
    found, fitted = result.as_served, result.temperature
    more = (
        ""
        if fitted is None
        else f"; with temperature {fitted.value:.3f} fitted on {fitted.on}: {fitted.after.error:.4f}"
    )
    return (
        f"{result.task} ({result.pairs:,} pairs): {result.scorer} expected calibration error "
        f"{found.error:.4f}{more}, Brier {found.brier:.4f}, log loss {found.log_loss:.4f}"
    )


def adaptive_line(result: AdaptiveResult) -> str:
    """What was decided, why, and what the chosen variant takes and brings on the measured queries."""
    row = result.chosen
    state = "on" if result.on else "off"
    more = (
        ""
        if row is None
        else (
            f"; on {result.queries:,} queries of {result.task} {interval_text(row.value)} for {row.share:.1%} of the "
            f"{result.counted}, {signed_interval_text(row.against_direct)} against direct and "
            f"{signed_interval_text(row.against_fused)} against reasoning on all"
        )
    )
    return f"{result.scorer}: adaptive: {state}: {result.reason}{more}"


def fusion_lines(result: FusionResult) -> str:
    """What to do with the first stage and why, and each way to rank with its figures."""
    rows = [
        f"  {row.way}: {interval_text(row.value)}, {signed_interval_text(row.against_first)} against the first stage, "
        f"{signed_interval_text(row.against_replaced)} against the model"
        for row in result.rows
    ]
    why = f"{result.reason}; {fitted_text(result)}"
    head = f"{result.task}, {result.protocol}, {result.scorer}: {advice_text(result)} ({why})"
    return "\n".join([head, *rows])


def advice_text(result: FusionResult) -> str:
    """`fuse, with first_stage_scores and first_stage_weight 0.3 (of all calls: --first-stage-weight 0.3)`."""
    weight = f"{result.weight:g}"
    return {
        "leave": "leave the first stage alone",
        "replace": "replace the first stage",
        "fuse": f"fuse, with first_stage_{result.of} and first_stage_weight {weight} "
        f"(of all calls: --first-stage-weight {weight})",
    }[result.advice]


def fitted_text(result: FusionResult) -> str:
    """`weight fitted on 200 queries of medquad/dev`."""
    return f"weight fitted on {result.fit_queries:,} queries of {result.fit_on}"


def cascade_lines(result: CascadeResult) -> str:
    """Each way to rank with its order, the served model's tokens and the time, relative to that model alone."""
    head = (
        f"{result.task} ({result.queries:,} queries, {result.protocol}): {result.first} then {result.second}, "
        f"{result.mode}, {kept_text(result)}"
    )
    rows = [
        f"  {row.way}: nDCG@10 {interval_text(row.value)}, {signed_interval_text(row.against_second)} against the "
        f"second alone; {row.second_tokens:,} tokens of the second ({row.share:.1%}), {row.seconds:,.1f} s "
        f"({row.time:.2f} times)"
        for row in result.rows
    ]
    return "\n".join([head, *rows])


def kept_text(result: CascadeResult) -> str:
    """`20 documents kept`, or what says how many."""
    if result.keep is not None:
        return f"{result.keep:,} documents kept"
    if result.fitted_on:
        return f"as many documents kept as can reach the top by what was fitted on {result.fitted_on}"
    return "as many documents kept as the service keeps"


def comparison_line(comparison: Comparison) -> str:
    """The difference with its interval, and both tests."""
    found = comparison.found
    return (
        f"{comparison.system} minus {comparison.other}, {comparison.measure} on {found.queries:,} queries: "
        f"{signed_interval_text(found.difference)}, randomization test "
        f"p = {found.p_randomization:.4f}, t-test p = {found.p_t:.4f}; better on {found.better:,}, worse on "
        f"{found.worse:,}"
    )


def injections_line(result: InjectionsResult) -> str:
    """How many injected passages reach the top."""
    return (
        f"{result.task}: {result.scorer}: {result.in_top} of {result.probes} injected passages reach the top "
        f"{result.protocol.top} among {result.protocol.depth} candidates ({result.clean_in_top} without the sentence); "
        f"mean change of the log-odds {result.mean_shift:+.2f}"
    )


def answers_line(result: AnswersResult) -> str:
    """The accuracy of each arm, and the share of replies that held no choice."""
    arms = ", ".join(f"{arm} {figure.mean:.1%}" for arm, figure in result.accuracy.items())
    unreadable = ", ".join(f"{arm} {count / max(1, result.questions):.1%}" for arm, count in result.unreadable.items())
    reasons = ", ".join(f"{count} {reason}" for reason, count in result.unreadable_reasons.items())
    return (
        f"{result.task} ({result.questions} questions, {result.scorer}): accuracy {arms}; reranked against "
        f"first stage p = {result.reranked_against_first_stage.p_randomization:.4f}; unreadable replies, which "
        f"count as wrong: {unreadable}{f' ({reasons})' if reasons else ''}"
    )


def interval_text(figure: Interval) -> str:
    """`0.9520 [0.9440, 0.9600]`."""
    return f"{figure.mean:.4f} [{figure.low:.4f}, {figure.high:.4f}]"


def signed_interval_text(figure: Interval) -> str:
    """`+0.0120 [-0.0010, +0.0250]`."""
    return f"{figure.mean:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"
