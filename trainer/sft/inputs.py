"""What a training of a causal model reads: records, or rows of several passages, as training sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.listed.rows import ListKind, ListRow
from contract.segments import Segments
from trainer.settings import Sft
from trainer.sft.examples import (
    Lengths,
    LossWeights,
    RecordChoice,
    TrainingSequence,
    load_records,
    load_segments,
    sequences,
    without_contradictions,
)
from trainer.sft.listed import list_sequences, load_prompt, load_rows


@dataclass(frozen=True, slots=True)
class Inputs:
    """`licences` are those that the examples state. `segments` belong to records; `rows` are those of several
    passages."""

    laid: list[TrainingSequence]
    licences: frozenset[str]
    segments: Segments | None = None
    rows: Sequence[ListRow] = ()


def read_inputs(settings: Sft) -> Inputs:
    """The sequences of the chosen examples, one each. Raises TrainError."""
    if settings.format == "pointwise":
        return _records(settings)
    kind = ListKind(settings.format)
    rows = load_rows(settings, kind)
    laid = list(list_sequences(rows, load_prompt(settings.base, kind), settings.max_tokens))
    return Inputs(laid, frozenset(row.licence for row in rows), rows=rows)


def _records(settings: Sft) -> Inputs:
    segments = load_segments(settings.base)
    chosen = load_records(settings.data, RecordChoice.of(settings, settings.direct_share))
    records = without_contradictions(chosen)
    if left_out := len(chosen) - len(records):
        print(  # noqa: T201
            f"{left_out} records are left out: they call irrelevant what another calls relevant to the same query."
        )
    lengths = Lengths(settings.max_tokens, settings.passage_tokens)
    weights = LossWeights(settings.verdict_weight, settings.conclusion_weight, settings.trace_weight)
    laid = list(sequences(records, segments, lengths, weights))
    return Inputs(laid, frozenset(record.licence for record in records), segments)
