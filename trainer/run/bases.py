"""The sources of a base model: a folder, a model that comes with limrank (by name), or one on the hub (by id)."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from contract.checkpoint.model_config import ConfigError, read_json_object
from contract.checkpoint.packaged import WEIGHTS, minilm, smollm2_gguf
from contract.files import standing
from trainer.errors import BadBase
from trainer.run.manifests import read_packaged

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_MINILM = "all-MiniLM-L6-v2"
_SMOLLM2 = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True)
class Base:
    """A base model on disk, its name for the manifest, and its licence if limrank knows it."""

    folder: Path
    name: str
    licence: str | None = None


def packaged_names() -> list[str]:
    """The models that come with limrank and are installed."""
    names = [_MINILM] if minilm() else []
    names += [_SMOLLM2] if smollm2_gguf() else []
    tuned = (path.parent.name for path in sorted(WEIGHTS.glob("*/reranker.json")))
    return [*names, *(name for name in tuned if names)]


def problem_of(base: Path) -> str | None:
    """Why `base` is not a base model, as far as that can be checked without fetching it; None if it may be one."""
    if folder := standing(base):
        if not (folder / "config.json").is_file():
            return f"{base} has no config.json, so it is not a model folder; correct --base."
        return None
    if str(base) in packaged_names() or _HUB_ID.fullmatch(str(base)):
        return None
    return (
        f"{base} cannot be read: No such file or directory; --base takes a folder, a hub id of the form owner/name, or "
        f"a model that comes with limrank ({', '.join(packaged_names())})."
    )


def resolve(base: Path) -> Base:
    """The base on disk, prepared or fetched if necessary. Raises BadBase."""
    if folder := standing(base):
        return Base(folder, base.name)
    if problem := problem_of(base):
        raise BadBase(problem)
    name = str(base)
    short = name.removeprefix("sentence-transformers/")
    if name in packaged_names() or (short == _MINILM and minilm() is not None):
        return _packaged(short)
    return Base(_fetched(name), name)


def has_output(folder: Path) -> bool:
    """Whether a model folder holds a cross-encoder rather than a bare encoder. Raises BadBase."""
    try:
        stated = read_json_object(folder / "config.json").get("architectures") or []
    except ConfigError as error:
        raise BadBase(str(error)) from None
    return any(str(name).endswith("ForSequenceClassification") for name in stated)


def _packaged(name: str) -> Base:
    if name == _MINILM and (folder := minilm()) is not None:
        return Base(folder, f"sentence-transformers/{name}", "Apache-2.0")
    folder = _cache() / f"{name}-{_content_key(name)}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # The service can prepare its models. It runs as a program, because the trainer does not import it.
        command = [sys.executable, "-m", "service.models.export", name, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if done.returncode and not folder.exists():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise BadBase(f"{name} cannot be prepared: {reason}")
    return Base(folder, name, _licence(name))


def _licence(name: str) -> str:
    """That of a packaged model and of what it was trained on."""
    folder = WEIGHTS / name
    return " AND ".join(read_packaged(folder).licences) if folder.is_dir() else "Apache-2.0"


def _content_key(name: str) -> str:
    """A key of the packaged content of `name`, so that another version gets its own folder."""
    files = sorted((WEIGHTS / name).glob("*")) or [smollm2_gguf() or WEIGHTS]
    stated = [f"{file.name} {file.stat().st_size} {_digest(file)}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join(stated).encode()).hexdigest()[:16]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limrank" / "bases"


def _fetched(name: str) -> Path:
    from httpx2 import HTTPError  # HTTP library of huggingface_hub, which does not wrap its errors
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, HTTPError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BadBase(
            f"The base {name} cannot be fetched from the hub ({reason}); check the id and the network, or fetch it "
            "elsewhere and name its folder."
        ) from None
