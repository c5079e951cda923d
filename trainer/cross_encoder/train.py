"""`limrank-train cross-encoder`: contrastive training of a cross-encoder, with sentence-transformers' trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from torch.utils.data import SequentialSampler

from contract.pairs import PairEncoder
from contract.records import Group
from trainer.cross_encoder import platt_scaling
from trainer.cross_encoder.checkpoint import cross_encoder_manifest, write_checkpoint
from trainer.cross_encoder.groups import GroupChoice, Row, load_groups, rows
from trainer.cross_encoder.loss import GroupLoss
from trainer.cross_encoder.model import (
    GroupCollator,
    PairRoom,
    PairScorer,
    encode_row,
    load_encoder,
    load_pair_encoder,
    network,
    pad_id,
)
from trainer.errors import BadData
from trainer.run.attention import set_attention
from trainer.run.data import licences, read_ids
from trainer.run.dev_score import DEV, DevSet, check_dev, dev_score
from trainer.run.folder import data_sha256, save_whole
from trainer.run.loop import Batching, take_threads
from trainer.run.order import order
from trainer.run.plan import Plan, heaviest, kept_bytes, make_plan, measure
from trainer.run.report import report_session
from trainer.run.session import Session, run_session
from trainer.settings import CrossEncoding

_CALIBRATION_NEGATIVES = 4


class _Trainer(CrossEncoderTrainer):
    """Reads the data in the order that `trainer.run.order` laid out; writes no model card into checkpoints."""

    def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, *_: Any, **__: Any) -> Any:
        return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """The card is written once, at the end, with measured scores."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """All that a run needs, read and encoded once. `sequence` is what is trained, `held` what calibrates."""

    groups: Sequence[Group]
    held: Sequence[Group]
    sequence: list[Row]
    lengths: list[int]
    encoder: PairEncoder
    model: CrossEncoder


def train_cross_encoder(settings: CrossEncoding) -> None:
    """Run one session, which is the whole run where time allows; with `dry_run` print the plan. Raises TrainError."""
    run_session(
        settings, prepare=partial(_prepare, settings), plan=partial(_plan, settings), train=partial(_train, settings)
    )


def _prepare(settings: CrossEncoding) -> _Prepared:
    choice = GroupChoice(
        settings.negatives,
        settings.negatives_from,
        settings.sample,
        settings.leave_out,
        read_ids(settings.exclude),
        settings.seed,
    )
    groups = load_groups(settings.data, choice)
    held, trained = _hold_out(groups, settings.calibration)
    encoder = load_pair_encoder(settings.base, settings.max_tokens)
    for group in held:  # so that one that cannot be scored is known now and not when the training is done
        encode_row(encoder, _calibrating(group))
    check_dev(DevSet.of(settings), PairRoom(encoder))
    laid = rows(trained, choice)
    lengths = [sum(len(pair.ids) for pair in encode_row(encoder, row)) for row in laid]
    sequence = order(
        lengths, passes=settings.epochs, batch=settings.batch, seed=settings.seed, max_steps=settings.max_steps
    )
    model = load_encoder(
        settings.base, seed=settings.seed, train_embeddings=settings.train_embeddings, dropout=settings.dropout
    )
    set_attention(network(model), settings.precision, padded_in_front=False)
    return _Prepared(
        groups, held, [laid[index] for index in sequence], [lengths[index] for index in sequence], encoder, model
    )


def _hold_out(groups: Sequence[Group], count: int) -> tuple[Sequence[Group], Sequence[Group]]:
    """Groups for calibration, none of whose queries is trained; then those to train."""
    queries = {group.query for group in groups[:count]}
    trained = [group for group in groups if group.query not in queries]
    if not trained:
        raise BadData(f"--calibration {count} leaves no group to train; lower it.")
    return groups[:count], trained


def _train(settings: CrossEncoding, session: Session, prepared: _Prepared, loop: dict[str, Any]) -> None:
    model = prepared.model
    trainer = _trainer(loop, prepared, _loss(settings, model), session)
    session.run(trainer)
    if not trainer.is_world_process_zero():
        return
    take_threads()
    scorer = PairScorer(model, prepared.encoder)
    dev = dev_score(scorer, DevSet.of(settings))
    if session.ended == "finished":
        manifest = cross_encoder_manifest(
            settings.base,
            name=settings.base_name or settings.base.name,
            temperature=_calibrate(model, scorer, prepared.held),
            data_sha256=data_sha256(settings.data),
            licences=(settings.base_licence, *licences(group.licence for group in prepared.groups)),
            recipe=_recipe(settings, len(prepared.sequence)),
            scores={} if dev is None else {DEV: dev},
        )
        save_whole(session.folder.path / "model", lambda part: write_checkpoint(part, model, settings.base, manifest))
    report_session(session.folder, session.ended, trainer.state, session.seconds, dev)


def _trainer(loop: dict[str, Any], prepared: _Prepared, loss: GroupLoss, session: Session) -> _Trainer:
    dataset = Dataset.from_list(
        [{"query": row.query, "instruction": row.instruction, "passages": row.passages} for row in prepared.sequence]
    )
    model = prepared.model
    collate: Any = GroupCollator(prepared.encoder, pad_id(model))  # its type asks for the library's own collator
    return _Trainer(
        model=model,
        args=CrossEncoderTrainingArguments(**loop),
        train_dataset=dataset,
        loss=loss,
        data_collator=collate,
        callbacks=[session],
    )


def _loss(settings: CrossEncoding, model: CrossEncoder) -> GroupLoss:
    return GroupLoss(model, group_size=1 + settings.negatives, loss=settings.loss, anchor=settings.anchor)


def _calibrate(model: CrossEncoder, scorer: PairScorer, held: Sequence[Group]) -> float:
    """Fit bias and temperature on the groups held out; put the bias into the model and return the temperature."""
    if not held:
        return 1.0
    scores: list[float] = []
    labels: list[bool] = []
    for row in map(_calibrating, held):
        scores += scorer.score(row.query, row.passages, row.instruction)
        labels += [True] + [False] * (len(row.passages) - 1)
    bias, temperature = platt_scaling.fit(scores, labels)
    with torch.no_grad():
        _output(model).bias.add_(bias)
    return round(temperature, 4)


def _calibrating(group: Group) -> Row:
    """The passages of a held-out group that are scored, its positive first."""
    return Row(group.query, group.instruction, (group.positive, *group.negatives[:_CALIBRATION_NEGATIVES]))


def _output(model: CrossEncoder) -> torch.nn.Linear:
    """The layer that gives the one output: the last linear layer of the network."""
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]


def _recipe(settings: CrossEncoding, groups: int) -> str:
    return (
        f"limrank-train cross-encoder: {settings.loss}, anchor {settings.anchor}, {groups} groups of 1 + "
        f"{settings.negatives} ({settings.negatives_from} negatives), batch {settings.batch}, learning rate "
        f"{settings.learning_rate}, {settings.max_tokens} tokens, {settings.precision}, seed {settings.seed}"
    )


def _plan(settings: CrossEncoding, prepared: _Prepared) -> Plan:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepared.model.to(device).train()
    parameters = list(prepared.model.parameters())
    collate = GroupCollator(prepared.encoder, pad_id(prepared.model))
    loss = _loss(settings, prepared.model)
    chosen = heaviest(prepared.lengths, settings.device_batch)
    sample = prepared.sequence[chosen]

    def step() -> int:
        rows_ = [{"query": row.query, "instruction": row.instruction, "passages": row.passages} for row in sample]
        pairs = {name: one.to(device) for name, one in collate(rows_)["pairs"].items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            value = loss([pairs])
        value.backward()
        return sum(prepared.lengths[chosen])

    return make_plan(
        prepared.lengths,
        Batching.of(settings),
        parameters=sum(weight.numel() for weight in parameters),
        trained=sum(weight.numel() for weight in parameters if weight.requires_grad),
        step_bytes=lambda lengths: _kept(settings, prepared, lengths),
        steps_here=lambda: measure(step, settings.measure_seconds),
    )


def _kept(settings: CrossEncoding, prepared: _Prepared, lengths: Sequence[int]) -> int:
    """Bytes that a step on groups of `lengths` keeps, the pairs of a group taken to be equally long."""
    size = 1 + settings.negatives
    pairs = [-(-length // size) for length in lengths for _ in range(size)]
    return kept_bytes(network(prepared.model), pairs, causal=False, bfloat16=settings.precision == "bfloat16")
