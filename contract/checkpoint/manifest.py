"""reranker.json: the description of a checkpoint, and the fingerprint that binds it to its tokenizer, configuration and
prompt.

{"version": 2, "kind": "causal" | "cross-encoder", "format": {...} | "limrank", "verdict_tokens": {"true", "false"},
 "tokenizer_sha256", "config": {...}, "adapter": {...} (of an adapter), "temperature",
 "reasoning_temperature" (may be absent), "base", "base_revision", "data_sha256", "licences", "recipe", "scores",
 "adaptive" (may be absent), "first_stage" (may be absent), "fingerprint"}

Version 1 has neither config nor adapter, and its fingerprint does not cover them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from contract.checkpoint import manifest_fields as checked
from contract.checkpoint.manifest_fields import ManifestError as ManifestError  # noqa: PLC0414 - callers import it from here
from contract.checkpoint.model_config import ConfigError, adapter_config_of, config_of, difference, read_json_object
from contract.files import write_text
from contract.formats.model_names import format_by_name
from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat
from contract.verdict import Temperatures, VerdictTokens

FILE_NAME = "reranker.json"
VERSION = 2
_VERSIONS = (1, VERSION)

# SPDX ids (CC-BY-NC-4.0, PolyForm-Noncommercial-1.0.0, NCGL-UK-2.0) and common spellings of the same.
_NON_COMMERCIAL = re.compile(r"\bNC\b|NCGL|NON[-_ ]?COMMERCIAL", re.IGNORECASE)

Kind = Literal["causal", "cross-encoder"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`format` and `verdict_tokens` are None for a cross-encoder. `temperature` divides the log-odds, and
    `reasoning_temperature` those that are read after a trace; None: as `temperature`.

    `licences` are SPDX ids of the base and of the data; `scores` maps a benchmark's name to a number or a table.
    `config` is what changes a score in the configuration the weights were saved with
    (`contract.checkpoint.model_config`), None in a manifest of version 1; `adapter` the same of an adapter, also once
    it is merged into its base by the service. `adaptive`: what limrank-eval fitted for adaptive mode
    (`contract.adaptive.parameters`), outside the fingerprint, which it names; None where nothing was fitted;
    `first_stage`: the same of a cascade behind another model (`contract.adaptive.reaching`).
    """

    kind: Kind
    format: PromptFormat | None
    verdict_tokens: VerdictTokens | None
    tokenizer_sha256: str
    base: str
    base_revision: str | None = None
    temperature: float = 1.0
    reasoning_temperature: float | None = None
    data_sha256: str | None = None
    licences: tuple[str, ...] = ()
    recipe: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    adapter: Mapping[str, Any] | None = None
    adaptive: Mapping[str, Any] | None = None
    first_stage: Mapping[str, Any] | None = None

    @property
    def version(self) -> int:
        """1 without a configuration, else 2."""
        return 1 if self.config is None else VERSION

    def parts(self) -> dict[str, Any]:
        """The parts that the fingerprint covers: everything that changes the meaning of a score."""
        words, reasoning = self.verdict_tokens, self.reasoning_temperature
        return {
            "kind": self.kind,
            "format": None if self.format is None else self.format.to_json(),
            "verdict_tokens": None if words is None else {"true": words.true, "false": words.false},
            "tokenizer_sha256": self.tokenizer_sha256,
            "temperature": self.temperature,
            **({} if reasoning is None else {"reasoning_temperature": reasoning}),
            **({} if self.config is None else {"config": dict(self.config)}),
            **({} if self.adapter is None else {"adapter": dict(self.adapter)}),
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `parts()` as canonical JSON, in hexadecimal."""
        return _digest(self.parts())

    @property
    def temperatures(self) -> Temperatures:
        """The temperatures of both modes."""
        return Temperatures(self.temperature, self.reasoning_temperature or self.temperature)

    @property
    def non_commercial(self) -> bool:
        """True when a licence of base or data forbids commercial use; such a checkpoint must not be packaged."""
        return any(_NON_COMMERCIAL.search(licence) for licence in self.licences)

    def to_json(self) -> dict[str, Any]:
        named = self.format is not None and NAMED_FORMATS.get(self.format.name) == self.format
        written = self.format.name if named and self.format is not None else self.parts()["format"]
        return {
            "version": self.version,
            **self.parts(),
            "format": written,
            "base": self.base,
            "base_revision": self.base_revision,
            "data_sha256": self.data_sha256,
            "licences": list(self.licences),
            "recipe": self.recipe,
            "scores": dict(self.scores),
            **({} if self.adaptive is None else {"adaptive": dict(self.adaptive)}),
            **({} if self.first_stage is None else {"first_stage": dict(self.first_stage)}),
            "fingerprint": self.fingerprint,
            "fingerprint_parts": {name: _digest(part) for name, part in self.parts().items()},
        }

    def write(self, folder: Path) -> None:
        """Writes reranker.json into `folder` atomically."""
        write_text(folder / FILE_NAME, json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n")


def tokenizer_sha256(folder: Path) -> str:
    """SHA-256 of the tokenizer.json in `folder`, in hexadecimal."""
    return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a checkpoint folder, or None without one.

    Raises ManifestError when it is invalid, or when its fingerprint does not match its parts, or the tokenizer and the
    configuration in the folder; the message names the part that differs.
    """
    path = folder / FILE_NAME
    if not path.exists() and not path.is_symlink():  # a dangling link is a lost manifest
        return None
    manifest = _read(path)
    try:
        found = tokenizer_sha256(folder)
    except OSError as error:
        raise ManifestError(f"{folder / 'tokenizer.json'} cannot be read; save the model's tokenizer there.") from error
    if found != manifest.tokenizer_sha256:
        raise ManifestError(
            f"{path} belongs to another tokenizer: tokenizer_sha256 is {manifest.tokenizer_sha256[:12]}..., but the "
            f"tokenizer.json beside it has {found[:12]}...; restore the tokenizer the model was trained with."
        )
    check_config(manifest, folder, str(path))
    return manifest


def check_config(manifest: Manifest, folder: Path, where: str) -> None:
    """Raises ManifestError when the model in `folder` has another configuration than the manifest from `where`."""
    if manifest.config is None:
        return
    try:
        found = config_of(folder)
    except ConfigError as error:
        raise ManifestError(str(error)) from error
    if differs := difference(manifest.config, found):
        raise ManifestError(
            f"{where} belongs to another configuration than {folder / 'config.json'}, where {differs} when the weights "
            "were saved; restore the configuration they were saved with."
        )


def read_adapter_manifest(folder: Path) -> Manifest:
    """The manifest in a folder without a complete model. Raises ManifestError when it is missing, when it was changed,
    or when it belongs to an adapter and does not match the adapter_config.json in the folder."""
    path = folder / FILE_NAME
    manifest = _read(path)
    if manifest.adapter is None or not (folder / "adapter_config.json").exists():
        return manifest
    try:
        differs = difference(manifest.adapter, adapter_config_of(folder))
    except ConfigError as error:
        raise ManifestError(str(error)) from error
    if differs:
        raise ManifestError(
            f"{path} belongs to another adapter_config.json, where {differs} when the adapter was saved; restore the "
            "one it was saved with."
        )
    return manifest


def _read(path: Path) -> Manifest:
    try:
        data = read_json_object(path)
    except ConfigError as error:
        raise ManifestError(str(error)) from error
    manifest = manifest_from_json(data, str(path))
    _check_fingerprint(manifest, data, path)
    return manifest


def public_format(model: str) -> PromptFormat | None:
    """The format of a public checkpoint without a manifest, by its hub id; None when unknown."""
    return format_by_name(model)


def manifest_from_json(data: Any, where: str) -> Manifest:
    """Builds a manifest from parsed JSON. Errors name `where`. Raises ManifestError."""
    if not isinstance(data, dict):
        raise ManifestError(f"{where} must hold a JSON object, not {type(data).__name__}.")
    version = data.get("version")
    if type(version) is not int or version not in _VERSIONS:
        raise ManifestError(
            f"{where} has version {version!r}; this program reads versions {' and '.join(map(str, _VERSIONS))}: use a "
            "newer release, or make the checkpoint again with this one."
        )
    known = {item.name for item in fields(Manifest)} | {"version", "fingerprint", "fingerprint_parts"}
    if unknown := sorted(set(data) - known):
        raise ManifestError(f"{where} has unknown keys: {', '.join(unknown)}.")
    config, adapter = (_settings(data, name, where) for name in ("config", "adapter"))
    if (version == 1) is not (config is None) or (adapter is not None and config is None):
        raise ManifestError(
            f"{where} has version {version}, which {'has no' if version == 1 else 'must state a'} config."
        )
    if data.get("kind") not in get_args(Kind):
        raise ManifestError(f"{where}: kind is {data.get('kind')!r}, not one of {', '.join(get_args(Kind))}.")
    return Manifest(
        kind=data["kind"],
        format=checked.prompt_format(data.get("format"), where),
        verdict_tokens=checked.verdict_tokens(data.get("verdict_tokens"), where),
        tokenizer_sha256=checked.text(data, "tokenizer_sha256", where),
        base=checked.text(data, "base", where),
        base_revision=checked.text_or_none(data, "base_revision", where),
        temperature=checked.temperature(data, "temperature", where) or 1.0,
        reasoning_temperature=checked.temperature(data, "reasoning_temperature", where),
        data_sha256=checked.text_or_none(data, "data_sha256", where),
        licences=checked.licences(data.get("licences", []), where),
        recipe=str(data.get("recipe", "")),
        scores=checked.scores(data.get("scores", {}), where),
        config=config,
        adapter=adapter,
        adaptive=_settings(data, "adaptive", where),
        first_stage=_settings(data, "first_stage", where),
    )


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def _check_fingerprint(manifest: Manifest, data: dict[str, Any], path: Path) -> None:
    if data.get("fingerprint") == manifest.fingerprint:
        return
    stated = data.get("fingerprint_parts")
    stated = stated if isinstance(stated, dict) else {}
    parts = {name: _digest(part) for name, part in manifest.parts().items()}
    differing = [name for name in (*parts, *sorted(set(stated) - set(parts))) if stated.get(name) != parts.get(name)]
    raise ManifestError(
        f"{path} was changed after it was made: its fingerprint does not fit its {' and '.join(differing) or 'parts'}. "
        "Restore the file, or make it again with limrank-train merge."
    )


def _settings(data: dict[str, Any], key: str, where: str) -> Mapping[str, Any] | None:
    value = data.get(key)
    if value is not None and not isinstance(value, dict):
        raise ManifestError(f"{where}: {key} must be an object.")
    return value
