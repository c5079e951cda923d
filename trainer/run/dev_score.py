"""The dev score at the end of a leg: nDCG@10 of a sample of dev queries, scored by the model in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evaluation.benchmarks import beir
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Query, sampled
from evaluation.errors import EvaluationError
from evaluation.metrics import by_order, mean, oracle, per_query
from retrieval.trec import Qrels, Run, read_run
from trainer.errors import BadData
from trainer.settings import DevScoring

MEASURE = "nDCG@10"
DEV = f"dev {MEASURE}"  # the name of these scores in a manifest and in tables


class PassageScorer(Protocol):
    """Scores passages against one query."""

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]: ...


def dev_score(scorer: PassageScorer, settings: DevScoring) -> dict[str, float] | None:
    """`score`, `before` (the first stage's order) and `oracle` (the best order of the same candidates), or None where
    no dev folder is given. Raise BadData where it cannot be read."""
    return dev_score_of_modes({"direct": scorer}, settings)


def dev_score_of_modes(scorers: Mapping[str, PassageScorer], settings: DevScoring) -> dict[str, float] | None:
    """The same of a model that has several modes: `score` is the mean of theirs, and each has its own by its name."""
    if settings.dev is None:
        return None
    return _scores(scorers, _load(settings, settings.dev))


def check_dev(settings: DevScoring, fits: Callable[[str, str | None], object]) -> None:
    """Read what a dev score is measured on, so that a mistake in it is known before a leg and not behind it. `fits`
    raises BadData for a query with its instruction that cannot be scored. Raise BadData."""
    if settings.dev is None:
        return
    for query in _load(settings, settings.dev).queries:
        try:
            fits(query.text, query.instruction)
        except BadData as error:
            raise BadData(f"{settings.dev}, query {query.id!r}: {error}") from None


def say(dev: Mapping[str, float]) -> str:
    """A sentence for people, of what the functions above return."""
    rest = dict(dev)
    score, before, oracle = (rest.pop(name) for name in ("score", "before", "oracle"))
    modes = "".join(f"{mode} {value:.4f}, " for mode, value in rest.items())
    return f"{DEV} {score:.4f} ({modes}first stage {before:.4f}, best order {oracle:.4f})"


@dataclass(frozen=True, slots=True)
class _Dev:
    """Queries, the text of their candidates, the candidates (first stage's scores) and their grades."""

    queries: Sequence[Query]
    passages: Mapping[str, str]
    top: Run
    qrels: Qrels


def _load(settings: DevScoring, folder: Path) -> _Dev:
    try:
        task = beir.load(DataSource(folder.name, folder), settings.dev_split)
        run = task.candidates if settings.dev_candidates is None else read_run(settings.dev_candidates)
    except EvaluationError as error:
        raise BadData(str(error)) from error
    if not run:
        raise BadData(f"{folder} has no candidates for its dev queries; name a TREC run with --dev-candidates.")
    queries = sampled([query for query in task.queries if query.id in run], settings.dev_queries)
    if not queries:
        raise BadData(
            f"None of the queries of {folder}'s split {settings.dev_split!r} has candidates in "
            f"{settings.dev_candidates or 'its own run'}; they do not match."
        )
    top = {query.id: dict(list(run[query.id].items())[: settings.dev_depth]) for query in queries}
    wanted = {name for names in top.values() for name in names}
    if missing := sorted(wanted - task.documents.keys()):
        raise BadData(f"{folder} has candidates that its corpus lacks, such as {missing[0]!r}; they do not match.")
    passages = {name: task.documents[name] for name in wanted}
    return _Dev(queries, passages, top, {query.id: task.qrels[query.id] for query in queries})


def _scores(scorers: Mapping[str, PassageScorer], dev: _Dev) -> dict[str, float]:
    def measured(made: Run) -> float:
        return round(mean(per_query(dev.qrels, made, [MEASURE])[MEASURE]), 4)

    def reranked(scorer: PassageScorer) -> Run:
        ranked: dict[str, Sequence[str]] = {}
        for query in dev.queries:
            names = list(dev.top[query.id])
            scores = scorer.score(query.text, [dev.passages[name] for name in names], query.instruction)
            ranked[query.id] = [names[at] for at in sorted(range(len(names)), key=lambda at: (-scores[at], at))]
        return by_order(ranked)

    modes = {mode: measured(reranked(scorer)) for mode, scorer in scorers.items()}
    whole = {
        "score": round(mean(modes), 4),
        "before": measured(by_order({query: list(found) for query, found in dev.top.items()})),
        "oracle": measured(oracle(dev.qrels, dev.top)),
    }
    return whole | (modes if len(modes) > 1 else {})
