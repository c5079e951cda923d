"""The inputs of a run, read and encoded before it begins: what cannot be trained on fails here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentence_transformers import CrossEncoder

from contract.pairs import PairEncoder
from contract.records import Group
from contract.scored_groups import ScoredGroup
from trainer.cross_encoder.groups import GroupChoice, Row, is_labelled, load_groups, rows, scored_row
from trainer.cross_encoder.model import (
    BesideIt,
    PairRoom,
    check_positions,
    encode_row,
    load_encoder,
    load_pair_encoder,
    network,
)
from trainer.errors import BadData
from trainer.run.attention import set_attention
from trainer.run.data import read_ids
from trainer.run.dev_score import DevSet, check_dev
from trainer.run.order import order
from trainer.settings import CrossEncoding

_CALIBRATION_NEGATIVES = 4


@dataclass(frozen=True, slots=True)
class Prepared:
    """The inputs of a run, read and encoded once. `sequence` is trained on, `held` is used for calibration."""

    groups: Sequence[Group | ScoredGroup]
    held: Sequence[Group | ScoredGroup]
    sequence: list[Row]
    lengths: list[int]
    encoder: PairEncoder
    model: CrossEncoder


def prepare(settings: CrossEncoding) -> Prepared:
    choice = GroupChoice(
        settings.negatives,
        settings.negatives_from,
        settings.sample,
        settings.leave_out,
        read_ids(settings.exclude),
        settings.seed,
    )
    groups = load_groups(settings.data, choice)
    held, trained = _hold_out(groups, settings.held_out(sum(map(is_labelled, groups))))
    encoder = load_pair_encoder(settings.base, settings.max_tokens)
    for group in held:  # an unscorable group must fail now, not after the training
        encode_row(encoder, calibrating(group))
    check_dev(DevSet.of(settings), PairRoom(encoder))
    laid = rows(trained, choice)
    lengths = [sum(len(pair.ids) for pair in encode_row(encoder, row)) for row in laid]
    sequence = order(
        lengths, passes=settings.epochs, batch=settings.batch, seed=settings.seed, max_steps=settings.max_steps
    )
    model = load_encoder(
        settings.base,
        seed=settings.seed,
        train_embeddings=settings.train_embeddings,
        dropout=settings.dropout,
        beside=_beside(settings),
    )
    check_positions(model, settings.base, settings.max_tokens)
    set_attention(network(model), settings.precision, padded_in_front=False)
    return Prepared(
        groups, held, [laid[index] for index in sequence], [lengths[index] for index in sequence], encoder, model
    )


def _beside(settings: CrossEncoding) -> BesideIt | None:
    if settings.bi_encoder is None:
        for name in ("base_scale", "similarity_weight"):
            if getattr(settings, name) != CrossEncoding.model_fields[name].default:
                raise BadData(f"--{name.replace('_', '-')} says how much --bi-encoder counts, which is not given.")
        return None
    return BesideIt(settings.bi_encoder, settings.similarity_weight, settings.base_scale)


def _hold_out(
    groups: Sequence[Group | ScoredGroup], count: int
) -> tuple[Sequence[Group | ScoredGroup], Sequence[Group | ScoredGroup]]:
    """Labelled groups for calibration, then those to train on, which share no query with the former."""
    held = [group for group in groups if is_labelled(group)][:count]
    queries = {group.query for group in held}
    trained = [group for group in groups if group.query not in queries]
    if not trained:
        raise BadData(f"--calibration {count} leaves no group to train; lower it.")
    return held, trained


def calibrating(group: Group | ScoredGroup) -> Row:
    """The passages of a held-out group that are scored, its positive first."""
    if isinstance(group, ScoredGroup):
        return Row(group.query, group.instruction, scored_row(group).passages[: 1 + _CALIBRATION_NEGATIVES])
    return Row(group.query, group.instruction, (group.positive, *group.negatives[:_CALIBRATION_NEGATIVES]))
