"""Rankings made by hand, in the order the service would give."""

from __future__ import annotations

from contract.reasoning import Status
from contract.verdict import relevance
from service.ranking import Ranked, Ranking, Reasoning, RerankCall, Timings


def ranking_of(call: RerankCall, *log_odds: float, warnings: tuple[str, ...] = ()) -> Ranking:
    """What the service says of `call` when its passages have these log-odds (missing ones: 0)."""
    scores = [*log_odds, *[0.0] * len(call.passages)][: len(call.passages)]
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    reasoning = Reasoning("Because.", Status.COMPLETE, 3) if call.return_reasoning else None
    return Ranking(
        id="an-id",
        model="a-model",
        results=tuple(
            Ranked(index, scores[index], relevance(scores[index]), Status.COMPLETE, reasoning)
            for index in order[: call.top_n]
        ),
        prompt_tokens=100,
        cached_tokens=40,
        reasoning_tokens=6,
        timings=Timings(total=12.34, queue=1.25, tokenize=0.75, inference=9.5),
        warnings=warnings,
    )
