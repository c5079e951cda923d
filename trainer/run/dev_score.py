"""The dev score at the end of a session: nDCG@10 on a sample of dev queries, scored by the model in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from evaluation.benchmarks import beir
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Query, sampled
from evaluation.metrics import by_order, mean, oracle, per_query
from retrieval.trec import Qrels, Run, read_run
from trainer.errors import BadData, CommandError
from trainer.settings import DevScoring

MEASURE = "nDCG@10"
DEV = f"dev {MEASURE}"  # the name of these scores in a manifest and in tables


@dataclass(frozen=True, slots=True)
class DevSet:
    """The queries of a dev score: `queries` queries of a split of a BEIR folder, drawn by the hash of their ids, each
    with its first `depth` candidates. `candidates` is a TREC run; None: the one in the folder."""

    folder: Path
    split: str
    candidates: Path | None
    queries: int
    depth: int

    @classmethod
    def of(cls, settings: DevScoring) -> Self | None:
        """None when the settings name no dev folder."""
        if settings.dev is None:
            return None
        return cls(settings.dev, settings.dev_split, settings.dev_candidates, settings.dev_queries, settings.dev_depth)


class PassageScorer(Protocol):
    """Scores passages against one query."""

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]: ...


def dev_score(scorer: PassageScorer, dev: DevSet | None) -> dict[str, float] | None:
    """`score`, `before` (the first stage's order) and `oracle` (the best order of the same candidates), or None without
    a dev set. Raises BadData when it cannot be read."""
    return dev_score_of_modes({"direct": scorer}, dev)


def dev_score_of_modes(scorers: Mapping[str, PassageScorer], dev: DevSet | None) -> dict[str, float] | None:
    """The same for a model with several modes: `score` is the mean over the modes, each of which also has its own
    entry."""
    return None if dev is None else _scores(scorers, _load(dev))


def check_dev(dev: DevSet | None, fits: Callable[[str, str | None], object]) -> None:
    """Reads the dev set, so that errors in it are found before a session, not after. `fits` raises BadData for a query
    and instruction that cannot be scored. Raises BadData."""
    if dev is None:
        return
    for query in _load(dev).queries:
        try:
            fits(query.text, query.instruction)
        except BadData as error:
            raise BadData(f"{dev.folder}, query {query.id!r}: {error}") from None


def say(dev: Mapping[str, float]) -> str:
    """A dev score as a sentence."""
    rest = dict(dev)
    score, before, oracle = (rest.pop(name) for name in ("score", "before", "oracle"))
    modes = "".join(f"{mode} {value:.4f}, " for mode, value in rest.items())
    return f"{DEV} {score:.4f} ({modes}first stage {before:.4f}, best order {oracle:.4f})"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Queries, the texts of their candidates, the candidates with the first stage's scores, and the grades."""

    queries: Sequence[Query]
    passages: Mapping[str, str]
    top: Run
    qrels: Qrels


def _load(dev: DevSet) -> _Loaded:
    folder = dev.folder
    try:
        task = beir.load(DataSource(folder.name, folder), dev.split)
        run = task.candidates if dev.candidates is None else read_run(dev.candidates)
    except CommandError as error:
        raise BadData(str(error)) from error
    if not run:
        raise BadData(f"{folder} has no candidates for its dev queries; name a TREC run with --dev-candidates.")
    queries = sampled([query for query in task.queries if query.id in run], dev.queries)
    if not queries:
        raise BadData(
            f"None of the queries of {folder}'s split {dev.split!r} has candidates in "
            f"{dev.candidates or 'its own run'}; they do not match."
        )
    top = {query.id: dict(list(run[query.id].items())[: dev.depth]) for query in queries}
    wanted = {name for names in top.values() for name in names}
    if missing := sorted(wanted - task.documents.keys()):
        raise BadData(f"{folder} has candidates that its corpus lacks, such as {missing[0]!r}; they do not match.")
    passages = {name: task.documents[name] for name in wanted}
    return _Loaded(queries, passages, top, {query.id: task.qrels[query.id] for query in queries})


def _scores(scorers: Mapping[str, PassageScorer], dev: _Loaded) -> dict[str, float]:
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
