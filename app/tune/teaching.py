"""The base as a teacher of the model that begins from it: its scores stand in the groups before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app.tune.results.score_log import ScoreLog
from app.tune.training import COSINE_TEMPERATURE
from contract.scored_groups import ScoredGroup

_NAME = "base"


def taught(
    groups: Sequence[ScoredGroup], base: Path, max_tokens: int, log: ScoreLog, report: Callable[[int, int], None]
) -> list[ScoredGroup]:
    """The groups with the base's log-odds in place of cosines. A list that nobody judged keeps its cosines, as log-odds
    too: of the base's own scores alone it would learn nothing. What `log` knows is not scored again."""
    left = [group for group in groups if group.positive is not None and (_NAME, group.id) not in log.known]
    if left:
        from app.tune.results.measuring import pair_scorer

        scorer = pair_scorer(base, max_tokens)
        for number, group in enumerate(left, start=1):
            scores = scorer.score(group.query, group.passages)
            log.add(_NAME, group.id, {str(place): round(score, 4) for place, score in enumerate(scores)})
            report(len(groups) - len(left) + number, len(groups))
    return [_taught(group, log) for group in groups]


def _taught(group: ScoredGroup, log: ScoreLog) -> ScoredGroup:
    if group.positive is None:
        return replace(group, teacher=tuple(score / COSINE_TEMPERATURE for score in group.teacher))
    return replace(group, teacher=tuple(log.known[_NAME, group.id].values()))
