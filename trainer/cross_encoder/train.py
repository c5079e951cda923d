"""`limrank-train cross-encoder`: contrastive training of a cross-encoder with sentence-transformers' trainer."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from contract.files import write_text
from contract.records import Group
from contract.scored_groups import ScoredGroup
from trainer.cross_encoder import platt_scaling
from trainer.cross_encoder.averaging import WeightAverage
from trainer.cross_encoder.best import BestWeights
from trainer.cross_encoder.checkpoint import cross_encoder_manifest, write_checkpoint
from trainer.cross_encoder.groups import Row, scored_row
from trainer.cross_encoder.held_out import HELD_OUT, by_bm25, by_model, say_held_out
from trainer.cross_encoder.inputs import Prepared, calibrating, prepare
from trainer.cross_encoder.loss import GroupLoss, TeacherTerms
from trainer.cross_encoder.model import (
    GroupCollator,
    PairScorer,
    dataset_row,
    network,
    pad_id,
)
from trainer.run.bases import has_output
from trainer.run.batching import Batching
from trainer.run.data import licences
from trainer.run.dev_score import DEV, DevSet, dev_score
from trainer.run.folder import data_sha256, save_whole
from trainer.run.loop import take_threads
from trainer.run.plan import Plan, heaviest, kept_bytes, make_plan, measure
from trainer.run.report import report_session
from trainer.run.session import Session, Watch, Watching, run_session
from trainer.settings import CrossEncoding


class _Trainer(CrossEncoderTrainer):
    """Reads the data in the order determined by `trainer.run.order`; writes no model card into checkpoints."""

    def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, *_: Any, **__: Any) -> Any:
        return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """The card is written once, at the end, with measured scores."""


def train_cross_encoder(settings: CrossEncoding, watch: Watch | None = None) -> None:
    """Runs one session, which is the whole run if time allows; with `dry_run` prints the plan. Raises TrainError.

    `watch` is told after each step how many of how many are done, and takes the place of the bar on the terminal.
    """
    run_session(
        settings,
        prepare=partial(prepare, settings),
        plan=partial(_plan, settings),
        train=partial(_train, settings, watch),
    )


def _train(
    settings: CrossEncoding, watch: Watch | None, session: Session, prepared: Prepared, loop: dict[str, Any]
) -> None:
    model = prepared.model
    average = WeightAverage(model, settings.average, session.folder.last_checkpoint()) if settings.average else None
    # The session goes last, because it marks a checkpoint as complete.
    scorer = PairScorer(model, prepared.encoder)
    measured = [scored_row(group) if isinstance(group, ScoredGroup) else _whole(group) for group in prepared.held]
    base = _base_score(settings, scorer, measured, session)
    best = BestWeights(model, scorer, measured, session.folder.path) if _keeps_best(settings, measured) else None
    callbacks: list[TrainerCallback] = [each for each in (best, average) if each is not None]
    if watch is not None:
        callbacks.append(Watching(watch))
        loop = loop | {"disable_tqdm": True}
    trainer = _trainer(loop, prepared, _loss(settings, model), [*callbacks, session])
    session.run(trainer)
    if not trainer.is_world_process_zero():
        return
    take_threads()
    if average is not None:
        average.put_into_model()
    if best is not None and session.ended == "finished" and (step := best.put_into_model()) is not None:
        print(f"The weights of step {step} ranked the held-out groups best and are kept.")  # noqa: T201
    dev = dev_score(scorer, DevSet.of(settings))
    held = _held_out_scores(scorer, measured, base) if session.ended == "finished" and measured else None
    if session.ended == "finished":
        manifest = cross_encoder_manifest(
            settings.base,
            name=settings.base_name or settings.base.name,
            temperature=_calibrate(model, scorer, prepared.held),
            data_sha256=data_sha256(settings.data),
            licences=licences((settings.base_licence, *(group.licence for group in prepared.groups))),
            recipe=_recipe(settings, prepared.sequence),
            scores=({} if dev is None else {DEV: dev}) | ({} if held is None else {HELD_OUT: held}),
        )
        save_whole(session.folder.path / "model", lambda part: write_checkpoint(part, model, settings.base, manifest))
        if best is not None:
            best.forget()
    after = [] if held is None else [say_held_out(held)]
    if session.ended == "finished":
        after.append(f"Serve it: limrank serve --model {session.folder.path / 'model'}")
    report_session(session.folder, session.ended, trainer.state, session.seconds, dev, after)


def _keeps_best(settings: CrossEncoding, measured: Sequence[Row]) -> bool:
    """Not with a running mean of the weights, which replaces the search for the best."""
    return settings.keep == "best" and bool(measured) and not settings.average


def _base_score(settings: CrossEncoding, scorer: PairScorer, measured: Sequence[Row], session: Session) -> float | None:
    """The base's score on the held-out groups before training; None if its output is new or in a process other than the
    first."""
    if not measured or not has_output(settings.base) or int(os.environ.get("RANK", "0")):
        return None
    stated = session.folder.path / "base-score.json"
    if not stated.exists():
        write_text(stated, json.dumps(by_model(scorer, measured)) + "\n")
    return float(json.loads(stated.read_text(encoding="utf-8")))


def _held_out_scores(scorer: PairScorer, measured: Sequence[Row], base: float | None) -> dict[str, float]:
    found = {"score": by_model(scorer, measured), "bm25": by_bm25(measured), "groups": float(len(measured))}
    return found if base is None else found | {"base": base}


def _whole(group: Group) -> Row:
    """A group with all its passages."""
    return Row(group.query, group.instruction, (group.positive, *group.negatives))


def _trainer(loop: dict[str, Any], prepared: Prepared, loss: GroupLoss, callbacks: list[TrainerCallback]) -> _Trainer:
    dataset = Dataset.from_list([dataset_row(row) for row in prepared.sequence])
    model = prepared.model
    collate: Any = GroupCollator(prepared.encoder, pad_id(model))  # its type demands the library's own collator
    trainer = _Trainer(
        model=model,
        args=CrossEncoderTrainingArguments(**loop),
        train_dataset=dataset,
        loss=loss,
        data_collator=collate,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # there where no bar is: the log has the same lines
    return trainer


def _loss(settings: CrossEncoding, model: CrossEncoder) -> GroupLoss:
    teacher = TeacherTerms(
        settings.teacher_weight, settings.labelled_teacher_weight, settings.teacher_loss, settings.teacher_temperature
    )
    return GroupLoss(model, loss=settings.loss, anchor=settings.anchor, teacher=teacher)


def _calibrate(model: CrossEncoder, scorer: PairScorer, held: Sequence[Group | ScoredGroup]) -> float:
    """Fits bias and temperature on the held-out groups, adds the bias to the model and returns the temperature."""
    if not held:
        return 1.0
    scores: list[float] = []
    labels: list[bool] = []
    for row in map(calibrating, held):
        scores += scorer.score(row.query, row.passages, row.instruction)
        labels += [True] + [False] * (len(row.passages) - 1)
    bias, temperature = platt_scaling.fit(scores, labels)
    with torch.no_grad():
        _output(model).bias.add_(bias)
    return round(temperature, 4)


def _output(model: CrossEncoder) -> torch.nn.Linear:
    """The layer that computes the one output: the last linear layer of the network."""
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]


def _recipe(settings: CrossEncoding, sequence: Sequence[Row]) -> str:
    scored = any(row.teacher for row in sequence)
    unlabelled = sum(not row.labelled for row in sequence)
    groups = (
        f"{len(sequence)} groups ({unlabelled} of them unlabelled), teacher {settings.teacher_loss} at temperature "
        f"{settings.teacher_temperature} with weight {settings.teacher_weight} unlabelled and "
        f"{settings.labelled_teacher_weight} labelled"
        if scored
        else f"{len(sequence)} groups of 1 + {settings.negatives} ({settings.negatives_from} negatives)"
    )
    return (
        f"limrank-train cross-encoder: {settings.loss}, anchor {settings.anchor}, {groups}, batch {settings.batch}, "
        f"learning rate {settings.learning_rate}, {settings.max_tokens} tokens, {settings.precision}, "
        f"seed {settings.seed}"
        + ("" if settings.bi_encoder is None else f", a bi-encoder's cosines with weight {settings.similarity_weight}")
        + (f", weights averaged with decay {settings.average}" if settings.average else "")
    )


def _plan(settings: CrossEncoding, prepared: Prepared) -> Plan:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepared.model.to(device).train()
    parameters = list(prepared.model.parameters())
    collate = GroupCollator(prepared.encoder, pad_id(prepared.model))
    loss = _loss(settings, prepared.model)
    chosen = heaviest(prepared.lengths, settings.device_batch)
    sample = prepared.sequence[chosen]

    def step() -> int:
        batch = collate([dataset_row(row) for row in sample])["pairs"]
        pairs = {name: tensor.to(device) for name, tensor in batch.items()}
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


def _kept(settings: CrossEncoding, prepared: Prepared, lengths: Sequence[int]) -> int:
    """Bytes that a step on groups of `lengths` keeps, assuming groups of the mean size with equally long pairs."""
    size = max(1, sum(len(row.passages) for row in prepared.sequence) // len(prepared.sequence))
    pairs = [-(-length // size) for length in lengths for _ in range(size)]
    return kept_bytes(network(prepared.model), pairs, causal=False, bfloat16=settings.precision == "bfloat16")
