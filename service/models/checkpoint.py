"""Opens a checkpoint folder: checks that its files are complete and fit its manifest."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.checkpoint.manifest import FILE_NAME, VERSION, Manifest, ManifestError, read_manifest, tokenizer_sha256
from contract.checkpoint.model_config import ADAPTER_CONFIG, CONFIG, GENERATION_CONFIG, ConfigError, read_json_object
from contract.checkpoint.stated import check_stated
from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat
from contract.pairs import NO_PROMPTS
from contract.prompt import ContractError
from contract.segments import Segments
from contract.verdict import VerdictTokens, WordReading, first_spellings
from service.errors import ModelStoreError
from service.models.architecture import needs_code
from service.models.cache import HeldFolder
from service.models.classifier import Classifier, read_classifier
from service.models.formats import FoundFormat, classifier_format, find_format, has_chat_template
from service.models.library.tokenizer import TOKENIZER, converted, open_tokenizer
from service.models.weights import check_weights
from service.ranking import ScoreKind

_OPTIONAL = (GENERATION_CONFIG, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_OLD_MANIFEST = (
    "it is of version 1, whose fingerprint does not cover config.json: a change there is not noticed; "
    "limrank-train calibrate --weights FOLDER writes it in the present version"
)
PLAIN_PAIRS = (
    "query and passage are joined as a plain pair, and the model's chat template writes no pairs: if it was trained on "
    "a prompt, state that with --format, or its scores rank at random; if on plain pairs, say so with --query-prompt ''"
)
_log = logging.getLogger("limrank.models")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that an engine can load, and the name it is served under. `revision` is the commit of a hub model.

    `classifier`: how a cross-encoder is asked and read; None for a causal model. `format_source`: what says how the
    prompts are written, where there are any. `made`: the content of a tokenizer.json where the folder has none. `held`
    keeps a folder of our own cache from being removed as long as this object lives.
    """

    folder: Path
    name: str
    manifest: Manifest
    revision: str | None = None
    classifier: Classifier | None = None
    format_source: str = FILE_NAME
    made: str | None = field(default=None, repr=False)
    held: HeldFolder | None = field(default=None, compare=False, repr=False)

    def tokenizer(self) -> Tokenizer:
        """A tokenizer of the caller's own, who may change it."""
        if self.made is None:
            return Tokenizer.from_file(str(self.folder / TOKENIZER))
        return Tokenizer.from_str(self.made)

    @property
    def score(self) -> ScoreKind:
        """A fitted temperature makes a score a probability, but for grades, to which none applies; without one, one
        word's logit and an output without a sigmoid of its own give an order."""
        prompt_format, classifier = self.manifest.format, self.classifier
        if prompt_format is not None and prompt_format.grades:
            return ScoreKind.ORDER
        if self.manifest.temperature != 1.0 or self.manifest.reasoning_temperature is not None:
            return ScoreKind.FITTED
        if classifier is not None:
            return ScoreKind.OWN if classifier.own_probability else ScoreKind.ORDER
        one_word = prompt_format is not None and not prompt_format.false_words
        return ScoreKind.ORDER if one_word else ScoreKind.OWN

    @property
    def plain_pairs_of_a_chat_model(self) -> bool:
        """True when nothing states the prompt of a decoder's pairs although it is made of a model that was given
        some."""
        classifier = self.classifier
        if classifier is None or not classifier.decoder or classifier.prompt is not None:
            return False
        return classifier.prompts == NO_PROMPTS and has_chat_template(self.folder)


def open_checkpoint(
    folder: Path,
    name: str,
    revision: str | None = None,
    prompt_format: str | None = None,
    *,
    weights: bool = True,
) -> Checkpoint:
    """Checks the folder and its manifest: every file that an engine reads is there and whole, every weight is a number,
    and configuration and tokenizer are those that the weights were saved with.

    `weights` False: they are not looked at, and may be missing. Without a manifest sequence classifiers are accepted,
    and causal models whose format `prompt_format` states (a name or a file) or `service.models.formats` finds.
    Raises ModelStoreError for a folder that is incomplete, or whose manifest does not fit it.
    """
    config = _check_files(folder)
    made = converted(folder)
    tokenizer = open_tokenizer(folder, config, made)
    try:
        own, source = read_manifest(folder), FILE_NAME
        classifier = None if own and own.kind == "causal" else read_classifier(folder, ours=own is not None)
        pairs = classifier is not None and not classifier.decoder
        if prompt_format is not None and (own is not None or pairs):
            raise ManifestError(f"{folder} needs no --format {prompt_format}; leave it out.")
        if own is not None:
            manifest = own
        elif classifier is not None:
            found = classifier_format(folder, name, tokenizer, prompt_format) if classifier.decoder else None
            manifest = _classifier_manifest(name, revision, found, _tokenizer_hash(folder, made))
            classifier = replace(classifier, prompt=manifest.format)
            source = FILE_NAME if found is None else found.source
        else:
            others = _format_of_others(folder, tokenizer, name, prompt_format)
            source = others.source
            manifest = _causal_manifest(name, revision, others.format, tokenizer, _tokenizer_hash(folder, made))
        _check_verdict_tokens(manifest, tokenizer, folder)
    except (ManifestError, ContractError) as error:
        raise ModelStoreError(str(error)) from error
    if weights:
        check_weights(folder, quantised=is_quantised(config))
    if manifest.version < VERSION and (folder / FILE_NAME).is_file():
        _log.warning("manifest_is_old", extra={"path": str(folder / FILE_NAME), "reason": _OLD_MANIFEST})
    return Checkpoint(folder, name, manifest, revision, classifier, source, made)


def _tokenizer_hash(folder: Path, made: str | None) -> str:
    return tokenizer_sha256(folder) if made is None else hashlib.sha256(made.encode()).hexdigest()


def _classifier_manifest(name: str, revision: str | None, found: FoundFormat | None, tokenizer: str) -> Manifest:
    return Manifest(
        kind="cross-encoder",
        format=None if found is None else found.format,
        verdict_tokens=None,
        tokenizer_sha256=tokenizer,
        base=name,
        base_revision=revision,
        recipe="sequence classifier without a manifest",
    )


def is_quantised(config: Mapping[str, Any]) -> bool:
    """Whether the weights of a model with this configuration are stored as other numbers than they stand for."""
    return any(config.get(name) is not None for name in ("quantization_config", "compression_config"))


def _check_files(folder: Path) -> dict[str, Any]:
    """The model's configuration. Raises ModelStoreError for a file that is missing or no JSON object."""
    if not folder.is_dir():
        raise ModelStoreError(f"There is no model folder {folder}; correct the path.")
    adapter = (folder / ADAPTER_CONFIG).exists()
    if not (folder / CONFIG).is_file():
        if adapter:
            raise ModelStoreError(f"{folder} holds an adapter and no model; merge it first with limrank-train merge.")
        raise ModelStoreError(f"{folder} has no config.json, so it is not a model folder; correct the path.")
    if adapter:  # which transformers would load in place of the model
        raise ModelStoreError(
            f"{folder} holds a model and an adapter; merge them with limrank-train merge, or remove {ADAPTER_CONFIG}."
        )
    try:
        check_stated(folder)
        config = read_json_object(folder / CONFIG)
        settings = {name: read_json_object(folder / name) for name in _OPTIONAL if (folder / name).exists()}
    except ConfigError as error:
        raise ModelStoreError(str(error)) from error
    if not isinstance(config.get("model_type"), str):
        if config.get("auto_map"):
            raise ModelStoreError(needs_code(config, folder))
        raise ModelStoreError(f"{folder / CONFIG} does not say the model's model_type; fetch or save it again.")
    for name, values in {CONFIG: config, GENERATION_CONFIG: settings.get(GENERATION_CONFIG, {})}.items():
        _check_ends(folder / name, values.get("eos_token_id"))
    return config


def _check_ends(file: Path, value: Any) -> None:
    ends = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(end) is int and end >= 0 for end in ends):
        raise ModelStoreError(f"{file} says an eos_token_id that is no token; fetch or save it again.")


def _format_of_others(folder: Path, tokenizer: Tokenizer, name: str, stated: str | None) -> FoundFormat:
    """The format of a causal model without a manifest. Raises ModelStoreError where nothing says it."""
    found = find_format(folder, name, tokenizer, stated)
    if found is None:
        raise ModelStoreError(
            f"{folder} has no {FILE_NAME} and {name!r} is not a public checkpoint whose prompt is known, so what its "
            "scores would mean is unknown; state the prompt it was trained on with --format, by name "
            f"({', '.join(NAMED_FORMATS)}) or as a YAML file, or serve a checkpoint made by limrank-train."
        )
    return found


def _causal_manifest(
    name: str, revision: str | None, prompt_format: PromptFormat, tokenizer: Tokenizer, tokenizer_hash: str
) -> Manifest:
    return Manifest(
        kind="causal",
        format=prompt_format,
        verdict_tokens=_verdict_tokens(prompt_format, tokenizer),
        tokenizer_sha256=tokenizer_hash,
        base=name,
        base_revision=revision,
        recipe="public checkpoint without a manifest",
    )


def _verdict_tokens(prompt_format: PromptFormat, tokenizer: Tokenizer) -> VerdictTokens | None:
    """None for a format that is not read by two words. Raises ContractError where tokenizer and format do not fit."""
    reading = Segments(prompt_format, tokenizer).reading
    two = isinstance(reading, WordReading) and bool(reading.false)
    return first_spellings(reading, prompt_format) if two else None


def _check_verdict_tokens(manifest: Manifest, tokenizer: Tokenizer, folder: Path) -> None:
    if manifest.kind == "cross-encoder":
        return
    actual = None if manifest.format is None else _verdict_tokens(manifest.format, tokenizer)
    if manifest.format is None or (manifest.verdict_tokens is None and actual is not None):
        raise ManifestError(f"{folder / FILE_NAME} is of kind causal and so must state format and verdict_tokens.")
    if actual != manifest.verdict_tokens:
        raise ManifestError(
            f"{folder / FILE_NAME} does not fit its tokenizer: verdict_tokens are {_shown(manifest.verdict_tokens)}, "
            f"but the tokenizer gives {_shown(actual)}; restore the manifest the model was saved with."
        )


def _shown(tokens: VerdictTokens | None) -> str:
    if tokens is None:
        return "none, since the format is not read by two words"
    return f"true {tokens.true}, false {tokens.false}"
