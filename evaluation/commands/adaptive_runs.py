"""`limrank-eval adaptive-runs`: the policies of adaptive mode on two score files of other models, without any model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from contract.adaptive.parameters import Policy
from evaluation.adaptive.ablation import rows
from evaluation.adaptive.crossing import check_enough, crossed
from evaluation.adaptive.gate import SIMPLEST_FIRST, decided
from evaluation.adaptive.replay import Variant
from evaluation.adaptive.score_files import COST, MOST_DOCUMENTS, SCORES, fit, in_scores, of_one_unit, score_pairs
from evaluation.adaptive.traces import RecordedQuery
from evaluation.commands.adaptive import write_adaptive
from evaluation.commands.rank import slug
from evaluation.errors import missing_is_not_available
from evaluation.reports.lines import adaptive_line
from evaluation.results.adaptive import AdaptiveResult
from evaluation.results.files import made
from evaluation.settings import Command
from retrieval.trec import read_qrels, read_run

SHARES = (0.05, 0.1, 0.2, 0.5)  # budgets: shares of the candidates that get an expensive score
DECIDED_AT = 0.1


class AdaptiveRunsSettings(Command):
    """Replay the policies of adaptive mode on a cheap and an expensive score of the same pairs, from two run files."""

    direct_run: Path = Field(description="TREC run file with the cheap scores, which also gives the candidates")
    reasoned_run: Path = Field(description="TREC run file with the expensive scores of the same pairs")
    qrels: Path = Field(description="judgements, as BEIR or TREC write them")
    out: Path = Field(description="folder for results")
    depth: int = Field(
        default=100, ge=2, le=MOST_DOCUMENTS, description="candidates of each query, the best by the cheap score"
    )


def run(settings: AdaptiveRunsSettings) -> str:
    """Run the command and return a summary."""
    with missing_is_not_available():
        direct, reasoned = read_run(settings.direct_run), read_run(settings.reasoned_run)
        queries = score_pairs(direct, reasoned, read_qrels(settings.qrels, of_trec=True), settings.depth)
    result = replayed(of_one_unit(queries), settings)
    write_adaptive(settings.out / f"adaptive-{slug(result.task)}" / slug(result.scorer), result)
    return adaptive_line(result)


def replayed(queries: Sequence[RecordedQuery], settings: AdaptiveRunsSettings) -> AdaptiveResult:
    """Every policy within every budget, each half of the queries with the parameters of the other. Raises BadData for
    too few queries, or pairs that parameters cannot be fitted on."""
    check_enough(queries)
    longest = max(len(query.documents) for query in queries)
    budgets = {share: COST * max(1, round(share * longest)) for share in SHARES}
    each = dict.fromkeys(budgets.values())  # of few candidates two shares are the same budget
    variants = [Variant(policy.value, policy, budget=budget) for budget in each for policy in Policy]
    found = [in_scores(result) for result in crossed(queries, variants, fit).values()]
    candidates = [replace(v, budget=budgets[DECIDED_AT] // COST) for v in SIMPLEST_FIRST if not v.early_stop]
    decision = decided(fit(queries), candidates, {result.variant: result for result in found}, SCORES)
    task = settings.qrels.stem
    return AdaptiveResult(
        task=task,
        scorer=f"{settings.direct_run.stem}, then {settings.reasoned_run.stem}",
        identity={"kind": "runs", **{name: _digest(getattr(settings, name)) for name in _FILES}},
        fit_on=f"{task}, each half with the parameters of the other",
        fit_queries=len(queries),
        queries=len(queries),
        pairs=sum(len(query.traces) for query in queries),
        protocol=f"{settings.direct_run.stem} top {settings.depth}",
        **decision.stated(),
        full_tokens=longest,
        rows=rows(found),
        seconds=0.0,
        made=made(),
        counted=SCORES,
    )


_FILES = ("direct_run", "reasoned_run", "qrels")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
