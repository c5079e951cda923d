"""What the figures of an audit say in words, for the top of its page."""

from __future__ import annotations

from collections.abc import Iterator

from synth.audit.graded import Scores
from synth.audit.tallies import Tallies

_TOO_FEW_ACCEPTED, _FEW_ACCEPTED = 0.6, 0.8  # shares of the judged pairs
_MOST_BETWEEN, _MOST_WITHOUT = 0.5, 0.3  # shares of the scored pairs, and of the queries
_LEAST_OF_A_LABEL = 0.1


def verdict(tallies: Tallies, scores: Scores | None) -> str:
    """What the figures say in words, before all figures."""
    said = [*_said_of_votes(tallies), *_said_of_scores(scores), *_said_of_balance(tallies)]
    return " ".join(said) if said else "Nothing in the figures speaks against training on this; read the examples."


def _said_of_votes(tallies: Tallies) -> Iterator[str]:
    if not tallies.agreements:
        return
    share = tallies.records / (tallies.judged or 1)
    if share < _TOO_FEW_ACCEPTED:
        yield f"Do not train on this yet: judge and writer disagree on {100 * (1 - share):.0f} % of the pairs."
    elif share < _FEW_ACCEPTED:
        yield f"Judge and writer disagree on {100 * (1 - share):.0f} % of the pairs: read those that were rejected."


def _said_of_scores(scores: Scores | None) -> Iterator[str]:
    if scores is None or not scores.queries:
        return
    pairs, without = scores.counts.total(), scores.without_positive / scores.queries
    if scores.between > _MOST_BETWEEN * pairs:
        yield (
            f"{100 * scores.between / pairs:.0f} % of the scored pairs lie between {scores.negative_to} and "
            f"{scores.positive_from}, and have no label: look at the thresholds, or train on the scores."
        )
    if without > _MOST_WITHOUT:
        yield f"{100 * without:.0f} % of the queries have no passage that answers: read the queries."


def _said_of_balance(tallies: Tallies) -> Iterator[str]:
    if not tallies.records:
        yield "There is no example."
    elif not _LEAST_OF_A_LABEL <= tallies.relevant / tallies.records <= 1 - _LEAST_OF_A_LABEL:
        share = 100 * tallies.relevant / tallies.records
        yield f"{share:.0f} % of the examples are relevant: one label is nearly missing."
