"""`limrank-train sft`: LoRA on a causal model, from records with traces or from rows of several passages, with
transformers' trainer."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from contract.checkpoint.manifest import Manifest
from contract.listed.model import ListModel
from contract.segments import Segments
from trainer.run.attention import set_attention
from trainer.run.batching import Batching, world
from trainer.run.data import licences
from trainer.run.dev_score import DEV, DevSet, check_dev, dev_score_of_modes
from trainer.run.folder import data_sha256, save_whole
from trainer.run.loop import take_threads
from trainer.run.manifests import read_adapter
from trainer.run.order import order
from trainer.run.plan import Plan, heaviest, kept_bytes, make_plan, measure
from trainer.run.report import report_session
from trainer.run.session import Session, run_session
from trainer.settings import Sft
from trainer.sft.checkpoint import adapter_manifest, write_adapter
from trainer.sft.examples import TrainingSequence
from trainer.sft.inputs import Inputs, read_inputs
from trainer.sft.listed import list_model
from trainer.sft.lora import (
    adapter_weights,
    add_lora,
    base_bytes,
    check_positions,
    go_back,
    load_base,
    load_lora,
    lora_config,
    merged,
    parameter_counts,
)
from trainer.sft.loss import SequenceCollator, completion_loss
from trainer.sft.scorer import CausalScorer, QueryRoom


class _Trainer(Trainer):
    """Reads the data in the order determined by `trainer.run.order`, with the loss of `completion_loss`."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        return SequentialSampler(dataset)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        return completion_loss(model, inputs)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The inputs of a run, read and encoded once. `sequence` holds the training sequences in order; `earlier` is the
    manifest of the adapter that the run continues from."""

    inputs: Inputs
    sequence: list[TrainingSequence]
    model: Any
    earlier: Manifest | None


def train_sft(settings: Sft) -> None:
    """Runs one session, which is the whole run if time allows; with `dry_run` prints the plan. Raises TrainError."""
    run_session(
        settings, prepare=partial(_prepare, settings), plan=partial(_plan, settings), train=partial(_train, settings)
    )


def _prepare(settings: Sft) -> _Prepared:
    inputs = read_inputs(settings)
    laid = inputs.laid
    sequence = order(
        [len(sequence.ids) for sequence in laid],
        passes=settings.epochs,
        batch=settings.batch,
        seed=settings.seed,
        max_steps=settings.max_steps,
    )
    earlier = None if settings.adapter is None else read_adapter(settings.adapter, settings.base)
    if inputs.segments is not None:
        room = QueryRoom(inputs.segments, trace_tokens=max(_trace_tokens(settings).values()))
        check_dev(DevSet.of(settings), room)
    model = _model(settings, longest=max(len(sequence.ids) for sequence in laid))
    return _Prepared(inputs, [laid[index] for index in sequence], model, earlier)


def _model(settings: Sft, longest: int) -> Any:
    """The base with the adapter to train: a new one or that of `--adapter`. Raise BadBase where it cannot read a
    sequence of `longest` tokens."""
    base = load_base(settings.base, settings.base_weights)
    check_positions(base, settings.base, longest)
    set_attention(base, settings.precision, padded_in_front=True)
    if settings.adapter is not None:
        torch.manual_seed(settings.seed)
        return load_lora(base, settings.adapter, trainable=True)
    return add_lora(base, rank=settings.rank, alpha=settings.alpha, dropout=settings.dropout, seed=settings.seed)


def _train(settings: Sft, session: Session, prepared: _Prepared, loop: dict[str, Any]) -> None:
    trainer = _Trainer(
        model=prepared.model,
        # Not FSDP's own activation_checkpointing: it renames the layers, so that the adapter is not found in the model.
        args=TrainingArguments(**(loop | {"fsdp": settings.fsdp})),
        train_dataset=Dataset.from_list([_row(sequence) for sequence in prepared.sequence]),
        data_collator=SequenceCollator(_pad_id(prepared.model)),
        callbacks=[session],
    )
    trainer.model_accepts_loss_kwargs = False  # the loss is a mean over examples, so micro-batches are averaged
    session.run(trainer)
    if settings.adapter is not None and settings.kept < 1:
        go_back(prepared.model, settings.adapter, settings.kept)
    # With sharded weights every process takes part in a forward pass and in gathering them.
    dev = _dev_score(settings, prepared) if settings.fsdp or trainer.is_world_process_zero() else None
    weights = adapter_weights(prepared.model)
    if not trainer.is_world_process_zero():
        return
    stated = _stated(settings, prepared, trainer.state.global_step, {} if dev is None else {DEV: dev})
    save_whole(session.folder.path / "adapter", lambda part: write_adapter(part, prepared.model, weights, stated))
    folder = session.folder.path
    merge = f"limrank train merge --base {settings.base} --adapter {folder / 'adapter'} --out {folder / 'model'}"
    then = "serve --model" if settings.format == "pointwise" else "eval run BENCHMARK --out RESULTS --list-model"
    after = [f"Next: {merge}; then limrank {then} {folder / 'model'}"] if session.ended == "finished" else []
    report_session(session.folder, session.ended, trainer.state, session.seconds, dev, after)


def _stated(settings: Sft, prepared: _Prepared, step: int, scores: dict[str, object]) -> Manifest | ListModel:
    """What the adapter states of itself."""
    stated, recipe = _licences(settings.base_licence, prepared), _recipe(settings, prepared, step)
    if prepared.inputs.segments is None:
        return list_model(settings, prepared.inputs.rows, stated, recipe)
    return adapter_manifest(
        settings.base,
        prepared.inputs.segments,
        name=settings.base_name or settings.base.name,
        data_sha256=data_sha256(settings.data),
        licences=stated,
        recipe=recipe,
        scores=scores,
    )


def _dev_score(settings: Sft, prepared: _Prepared) -> dict[str, float] | None:
    dev, segments = DevSet.of(settings), prepared.inputs.segments
    if segments is None:
        return None
    if not settings.fsdp:
        take_threads()
    # Sharded weights cannot be merged for a moment, and those of fewer bits would not come back as they were.
    apart = dev is None or settings.fsdp or settings.base_weights != "float32"
    with nullcontext() if apart else merged(prepared.model):
        return dev_score_of_modes(_scorers(settings, prepared.model, segments), dev)


def _scorers(settings: Sft, model: Any, segments: Segments) -> dict[str, CausalScorer]:
    return {
        mode: CausalScorer(model, segments, passage_tokens=settings.passage_tokens, trace_tokens=trace_tokens)
        for mode, trace_tokens in _trace_tokens(settings).items()
    }


def _trace_tokens(settings: Sft) -> dict[str, int]:
    """The longest trace in each mode of the dev score."""
    return {mode: settings.dev_trace_tokens if mode == "reasoning" else 0 for mode in settings.dev_modes}


def _row(sequence: TrainingSequence) -> dict[str, list[int] | list[float]]:
    return {"ids": list(sequence.ids), "weights": list(sequence.weights)}


def _pad_id(model: Any) -> int:
    """Any id: padding is masked and has no weight."""
    found = model.config.pad_token_id
    return 0 if found is None else int(found)


def _licences(base: str, prepared: _Prepared) -> tuple[str, ...]:
    """The base's licence, then those of all data, including the data of an adapter that the run continues from."""
    known = set(prepared.inputs.licences)
    if prepared.earlier is not None:
        known.update(prepared.earlier.licences)
    return tuple(dict.fromkeys((base, *licences(known))))


def _recipe(settings: Sft, prepared: _Prepared, step: int) -> str:
    examples, lora = len(prepared.sequence), lora_config(prepared.model)
    before = "" if prepared.earlier is None else f"{prepared.earlier.recipe}; then "
    kind = f"{examples} {settings.format} rows, loss on the letters of the answer"
    weights = ""
    if settings.format == "pointwise":
        kind = f"{examples} examples ({settings.direct_share:.0%} of those with a trace without it)"
        weights = (
            f"weights {settings.verdict_weight} (verdict), {settings.conclusion_weight} (conclusion), "
            f"{settings.trace_weight} (traced), "
        )
    return before + (
        f"limrank-train sft: LoRA rank {lora.r}, alpha {lora.lora_alpha}, all linear layers; {kind}, {step} steps of "
        f"{settings.batch}, learning rate {settings.learning_rate} {settings.schedule}, {weights}"
        f"{settings.max_tokens} tokens, {settings.precision}, seed {settings.seed}"
        + ("" if settings.base_weights == "float32" else f", the base in {settings.base_weights}")
        + ("" if settings.kept == 1 else f", {settings.kept:.0%} of the way from the weights before")
    )


def _plan(settings: Sft, prepared: _Prepared) -> Plan:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, bfloat16 = prepared.model.to(device), settings.precision == "bfloat16"
    if settings.gradient_checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    model.train()
    parameters, trained = parameter_counts(model)
    lengths = [len(sequence.ids) for sequence in prepared.sequence]
    sample = prepared.sequence[heaviest(lengths, settings.device_batch)]
    logits = max(len(sequence.weights) for sequence in sample)
    collate = SequenceCollator(_pad_id(model))

    def step() -> int:
        batch = collate([_row(sequence) for sequence in sample])
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = completion_loss(model, inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        return sum(len(sequence.ids) for sequence in sample)

    return make_plan(
        lengths,
        Batching.of(settings),
        parameters=parameters,
        trained=trained,
        frozen_bytes=base_bytes(model),
        shards=world() if settings.fsdp else 1,
        step_bytes=lambda batch: kept_bytes(model, batch, causal=True, bfloat16=bfloat16, logits=logits * len(batch)),
        steps_here=lambda: measure(step, settings.measure_seconds),
    )
