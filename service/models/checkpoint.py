"""Opens a checkpoint folder: checks that its files are complete and fit its manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from contract.manifest import FILE_NAME, Manifest, ManifestError, public_format, read_manifest, tokenizer_sha256
from contract.prompt import ContractError
from contract.verdict import VerdictTokens, resolve_verdict_tokens
from service.errors import ModelStoreError
from service.models.cache import HeldFolder


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that an engine can load, and the name it is served under. `revision` is the commit of a hub model.

    `held` keeps a folder of our own cache from being removed as long as this object lives.
    """

    folder: Path
    name: str
    manifest: Manifest
    revision: str | None = None
    held: HeldFolder | None = field(default=None, compare=False, repr=False)


def open_checkpoint(folder: Path, name: str, revision: str | None = None) -> Checkpoint:
    """Checks the folder and its manifest, loading only the tokenizer and the headers of the weights.

    Without a manifest only the public checkpoints known to `contract.manifest` are accepted, by their hub id in `name`.
    Raises ModelStoreError for a folder that is incomplete, or whose manifest does not fit it.
    """
    _check_files(folder)
    tokenizer = _tokenizer(folder)
    try:
        manifest = read_manifest(folder) or _public_manifest(folder, tokenizer, name, revision)
        _check_verdict_tokens(manifest, tokenizer, folder)
    except (ManifestError, ContractError) as error:
        raise ModelStoreError(str(error)) from error
    return Checkpoint(folder, name, manifest, revision)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelStoreError(f"There is no model folder {folder}; correct the path.")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelStoreError(f"{folder} holds an adapter and no model; merge it first with limrank-train merge.")
        raise ModelStoreError(f"{folder} has no config.json, so it is not a model folder; correct the path.")
    if not (folder / "tokenizer.json").is_file():
        raise ModelStoreError(f"{folder} has no tokenizer.json; save the model's fast tokenizer there.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelStoreError(f"{folder} has no *.safetensors; save the weights in that format (pickles are not read).")
    for file in weights:
        _check_weights(file)


def _check_weights(file: Path) -> None:
    """Raises ModelStoreError for a file that was cut short: opening it compares the header with its length."""
    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelStoreError(f"{file} is not a whole safetensors file ({error}); fetch or save it again.") from error


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise ModelStoreError(f"{path} cannot be read ({error}); fetch or save it again.") from error


def _public_manifest(folder: Path, tokenizer: Tokenizer, name: str, revision: str | None) -> Manifest:
    prompt_format = public_format(name)
    if prompt_format is None:
        raise ModelStoreError(
            f"{folder} has no {FILE_NAME} and {name!r} is not a public checkpoint whose prompt is known, so what its "
            "scores would mean is unknown; serve a checkpoint made by limrank-train, or write its manifest."
        )
    return Manifest(
        kind="causal",
        format=prompt_format,
        verdict_tokens=resolve_verdict_tokens(prompt_format, tokenizer),
        tokenizer_sha256=tokenizer_sha256(folder),
        base=name,
        base_revision=revision,
        recipe="public checkpoint without a manifest",
    )


def _check_verdict_tokens(manifest: Manifest, tokenizer: Tokenizer, folder: Path) -> None:
    if manifest.kind == "cross-encoder":
        return
    if manifest.format is None or manifest.verdict_tokens is None:
        raise ManifestError(f"{folder / FILE_NAME} is of kind causal and so must state format and verdict_tokens.")
    actual = resolve_verdict_tokens(manifest.format, tokenizer)
    if actual != manifest.verdict_tokens:
        raise ManifestError(
            f"{folder / FILE_NAME} does not fit its tokenizer: verdict_tokens are {_shown(manifest.verdict_tokens)}, "
            f"but the tokenizer gives {_shown(actual)}; restore the manifest the model was saved with."
        )


def _shown(tokens: VerdictTokens) -> str:
    return f"true {tokens.true}, false {tokens.false}"
