"""`limrank-serve inspect MODEL`: what a model is, how it would be asked and read, and what is missing to serve it.

Reads settings, tokenizer and manifest; of the weights only the headers, and of a model on a hub not even these. So it
does not see a weight that is no number, which a start refuses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.checkpoint.model_config import SIMILARITY_BERT
from contract.formats.grades import Read
from contract.pairs import PairPrompts
from contract.prompt import PromptFormat
from contract.segments import Segments
from contract.verdict import GradedReading, WordReading
from service.engine import Limits
from service.engines.cross_encoder.encoder import classifier_encoder, overridden
from service.engines.transformers.architectures import ARCHITECTURES
from service.errors import ModelStoreError
from service.models import store
from service.models.calibration import calibrated
from service.models.checkpoint import PLAIN_PAIRS, Checkpoint
from service.models.classifier import Classifier
from service.models.weights import read_headers
from service.ranking import ScoreKind

QUERY, PASSAGE, INSTRUCTION = "what is a lipid?", "Lipids are fats.", "Only definitions count."
_SHOWN_IDS = 400
_NO_LIMIT = 1_000_000  # tokens
# Where the files of others state a divisor of the logit: the key, in the files that may hold it.
_SCALE_KEYS = ("scale", "logit_scale", "logits_scale", "temperature", "score_temperature")
_SCALE_FILES = ("1_LogitScore/config.json", "config_sentence_transformers.json", "config.json")
_SCORES = {
    ScoreKind.FITTED: "a probability, fitted to labels",
    ScoreKind.OWN: "the model's own probability of its answer, not fitted to labels",
    ScoreKind.ORDER: "an order only: compare scores of one call, set no threshold by the number",
}


@dataclass(frozen=True, slots=True)
class Report:
    """`lines` for a person; `servable`: a server would start with it."""

    lines: tuple[str, ...]
    servable: bool


def inspect_model(
    model: str | None,
    revision: str | None = None,
    cache_dir: Path | None = None,
    prompt_format: str | None = None,
    prompts: tuple[str | None, str | None] = (None, None),
    calibration: Sequence[str] = (),
) -> Report:
    """Describes what `limrank-serve --model MODEL` would serve; `prompts` are those of --query-prompt and
    --passage-prompt, `calibration` the files of --calibration. Raises ModelStoreError where there is no such model."""
    found = store.locate(model, revision=revision, cache_dir=cache_dir)
    config = _json(found.folder / "config.json")
    lines = [f"model         {found.name}", f"folder        {found.folder}", *_architecture(config)]
    try:
        checkpoint = calibrated(found.open(prompt_format, weights=False), calibration)
    except ModelStoreError as error:
        return Report((*lines, f"missing       {error}"), servable=False)
    try:
        lines += _served(checkpoint, overridden(checkpoint, *prompts))
        lines += [] if found.on_hub else _weights(found.folder)
    except ModelStoreError as error:
        return Report((*lines, f"missing       {error}"), servable=False)
    lines += [f"note          {note}" for note in _notes(checkpoint, config, prompts)]
    problems = [*_engine_problems(checkpoint, config), *_scale_problems(checkpoint)]
    lines += [f"missing       {problem}" for problem in problems] or ["missing       nothing"]
    return Report(tuple(lines), servable=not problems)


def _architecture(config: Mapping[str, Any]) -> Iterator[str]:
    named = config.get("architectures")
    shown = ", ".join(map(str, named)) if isinstance(named, list) and named else "not stated"
    yield f"architecture  {shown} ({config.get('model_type')})"
    if (limit := config.get("max_position_embeddings")) is not None:
        yield f"limit         {limit} tokens"


def _weights(folder: Path) -> Iterator[str]:
    """What the headers say. Raises ModelStoreError where there are none."""
    tensors = read_headers(folder, whole=False).values()
    count, size = sum(math.prod(each.shape) for each in tensors), sum(each.end - each.begin for each in tensors)
    kinds = ", ".join(sorted({each.dtype for each in tensors}))
    yield f"weights       {count / 1e6:,.1f} million numbers ({kinds}), {size / 1e9:,.2f} GB"
    ends: dict[Path, int] = {}
    for each in tensors:
        ends[each.file] = max(ends.get(each.file, 0), each.end)
    for file, end in ends.items():
        if (found := file.stat().st_size) < end:
            yield f"note          {file.name} has {found} of its {end} bytes; a server needs all of them"


def _served(checkpoint: Checkpoint, prompts: PairPrompts | None) -> Iterator[str]:
    manifest = checkpoint.manifest
    yield f"kind          {manifest.kind}"
    if manifest.kind == "cross-encoder":
        yield from _classifier(checkpoint, prompts)
    elif manifest.format is not None:
        yield from _causal(manifest.format, checkpoint)
    yield f"temperature   {manifest.temperature:g} direct, {manifest.temperatures.reasoning:g} behind reasoning"
    yield f"a score is    {_SCORES[checkpoint.score]}"


def _classifier(checkpoint: Checkpoint, prompts: PairPrompts | None) -> Iterator[str]:
    classifier = checkpoint.classifier or Classifier()
    limit = classifier.max_tokens or _NO_LIMIT
    encoder = classifier_encoder(checkpoint, limit, prompts)
    tokenizer = checkpoint.tokenizer()
    if limit < _NO_LIMIT:
        yield f"limit         {limit} tokens, by the files beside the model"
    prompt = None if prompts is not None else classifier.prompt
    if prompt is not None:
        yield f"format        {prompt.name}, from {checkpoint.format_source}"
        if prompt.default_instruction:
            yield f"instruction   by default {prompt.default_instruction!r}"
    for title, instruction in (("prompt", None), ("with an instruction", INSTRUCTION)):
        prefix = encoder.prefix(QUERY, instruction, 0)
        ids = [*prefix.ids, *encoder.rests(prefix, [PASSAGE], Limits())[0].ids]
        text = tokenizer.decode(ids, False) if prompt is None else prompt.text(QUERY, PASSAGE, instruction)
        yield from _example(title, text, ids)
    config = checkpoint.manifest.config or {}
    if config.get("model_type") == SIMILARITY_BERT:
        yield f"output        a classifier's plus {config['similarity_weight']:g} times a bi-encoder's cosine"
    outputs = "the one output" if classifier.labels == 1 else f"output {classifier.relevant} less the other one"
    yield f"read          {outputs} for each pair of query and passage"
    yield f"relevance     {_activation(classifier, checkpoint)}"
    yield "modes         direct"


def _activation(classifier: Classifier, checkpoint: Checkpoint) -> str:
    if checkpoint.score is ScoreKind.FITTED:
        return "the sigmoid of the output divided by the temperature"
    if classifier.hard_sigmoid:
        return "the hard sigmoid, which the model's files name"
    own = "the model's own" if classifier.own_probability else "since its files name no activation into [0, 1]"
    return f"the sigmoid, {own}"


def _example(title: str, text: str, ids: Sequence[int]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"    {line}" for line in text.split("\n"))
    yield f"    ids: {' '.join(map(str, ids[:_SHOWN_IDS]))}{' ...' if len(ids) > _SHOWN_IDS else ''}"


def _causal(prompt_format: PromptFormat, checkpoint: Checkpoint) -> Iterator[str]:
    tokenizer = checkpoint.tokenizer()
    segments = Segments(prompt_format, tokenizer)
    yield f"format        {prompt_format.name}, from {checkpoint.format_source}"
    if prompt_format.default_instruction:
        yield f"instruction   by default {prompt_format.default_instruction!r}"
    for title, instruction in (("prompt", None), ("with an instruction", INSTRUCTION)):
        ids = [*segments.prompt_ids(QUERY, PASSAGE, instruction), *segments.closing]
        text = prompt_format.text(QUERY, PASSAGE, instruction) + prompt_format.close + prompt_format.answer
        yield from _example(title, text, ids)
    yield from _words(segments, tokenizer)
    yield f"modes         {'direct, reasoning' if prompt_format.reasons else 'direct'}"


def _words(segments: Segments, tokenizer: Tokenizer) -> Iterator[str]:
    reading = segments.reading
    if isinstance(reading, GradedReading):
        for read in reading.reads:
            yield f"read          {_place(read, tokenizer)}{_listed(read.answers, tokenizer)}"
        yield f"score         the mean grade of 0 to {reading.grades.highest:g}; relevance is its share of the highest"
    elif isinstance(reading, WordReading):
        against = f" against {_listed(reading.false, tokenizer)}" if reading.false else ", its logit alone"
        yield f"read          {_listed(reading.true, tokenizer)}{against}"
        if (reading.scale, reading.offset) != (1.0, 0.0):
            yield f"score         (what is read + {reading.offset:g}) / {reading.scale:g}"


def _place(read: Read, tokenizer: Tokenizer) -> str:
    return f"behind {tokenizer.decode(list(read.behind), skip_special_tokens=False)!r}: " if read.behind else ""


def _listed(ids: tuple[int, ...], tokenizer: Tokenizer) -> str:
    return ", ".join(f"{tokenizer.decode([i], skip_special_tokens=False)!r} ({i})" for i in ids)


def _notes(checkpoint: Checkpoint, config: Mapping[str, Any], prompts: tuple[str | None, str | None]) -> Iterator[str]:
    if checkpoint.plain_pairs_of_a_chat_model and prompts == (None, None):
        yield PLAIN_PAIRS
    if checkpoint.manifest.kind == "causal" and config.get("model_type") not in ARCHITECTURES:
        yield (
            f"the transformers engine runs no models of type {config.get('model_type')!r}; serve it with "
            "--engine vllm, if vLLM knows the type."
        )
    if "auto_map" in config:
        yield "auto_map in its config.json names code that comes with it; it is not run, transformers' own class is."


def _engine_problems(checkpoint: Checkpoint, config: Mapping[str, Any]) -> Iterator[str]:
    if "auto_map" in config and checkpoint.manifest.kind == "causal":
        from transformers import CONFIG_MAPPING

        if config.get("model_type") not in CONFIG_MAPPING:
            yield (
                f"It needs code from its own repository (auto_map, type {config.get('model_type')!r}), which is not "
                "run; serve a model that transformers knows, or let vLLM run it with --vllm-args "
                "'{\"trust_remote_code\": true}' if you trust it."
            )


def _scale_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """A divisor that the model's own files state and its format does not."""
    prompt_format = checkpoint.manifest.format
    if prompt_format is None or checkpoint.format_source == "reranker.json":
        return
    for name in _SCALE_FILES:
        stated = _json(checkpoint.folder / name)
        for key in _SCALE_KEYS if name != "config.json" else _SCALE_KEYS[:3]:
            value = stated.get(key)
            if isinstance(value, int | float) and value > 0 and value not in (1, prompt_format.scale):
                yield (
                    f"{name} states {key} {value:g}, but the format {prompt_format.name!r} divides by "
                    f"{prompt_format.scale:g}; serve it with --format FILE, where FILE has the line: scale: {value:g}"
                )


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
