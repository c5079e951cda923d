"""reranker.json: what a checkpoint says about itself, and the fingerprint that binds it to its tokenizer and prompt.

{"version": 1, "kind": "causal" | "cross-encoder", "format": {...} | "limrank", "verdict_tokens": {"true", "false"},
 "tokenizer_sha256", "temperature", "reasoning_temperature" (may be absent), "base",
 "base_revision", "data_sha256", "licences", "recipe", "scores", "fingerprint"}
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from contract.files import write_text
from contract.prompt import LIMRANK, PromptFormat
from contract.verdict import Temperatures, VerdictTokens

FILE_NAME = "reranker.json"
VERSION = 1
NAMED_FORMATS: Mapping[str, PromptFormat] = {LIMRANK.name: LIMRANK}
# Public checkpoints without a manifest, by the beginning of their hub id.
PUBLIC_CHECKPOINTS: Mapping[str, PromptFormat] = {"songtingyu/limrank": LIMRANK, "jhu-clsp/rank1-": LIMRANK}

# SPDX ids (CC-BY-NC-4.0, PolyForm-Noncommercial-1.0.0, NCGL-UK-2.0) and what people write in their place.
_NON_COMMERCIAL = re.compile(r"\bNC\b|NCGL|NON[-_ ]?COMMERCIAL", re.IGNORECASE)

Kind = Literal["causal", "cross-encoder"]


class ManifestError(ValueError):
    """A manifest that cannot be read or does not belong to its checkpoint. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`format` and `verdict_tokens` are None for a cross-encoder. `temperature` divides the log-odds, and
    `reasoning_temperature` those that are read after a trace; None: as `temperature`.

    `licences` are SPDX ids of the base and of the data; `scores` maps a benchmark's name to a number or a table.
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

    def parts(self) -> dict[str, Any]:
        """What the fingerprint covers: everything that changes what a score means."""
        words, reasoning = self.verdict_tokens, self.reasoning_temperature
        return {
            "kind": self.kind,
            "format": None if self.format is None else self.format.to_json(),
            "verdict_tokens": None if words is None else {"true": words.true, "false": words.false},
            "tokenizer_sha256": self.tokenizer_sha256,
            "temperature": self.temperature,
            **({} if reasoning is None else {"reasoning_temperature": reasoning}),
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `parts()` as canonical JSON, in hexadecimal."""
        return _digest(self.parts())

    @property
    def temperatures(self) -> Temperatures:
        """Those of both modes."""
        return Temperatures(self.temperature, self.reasoning_temperature or self.temperature)

    @property
    def non_commercial(self) -> bool:
        """True when a licence of base or data forbids commercial use, so that the checkpoint must not be packaged."""
        return any(_NON_COMMERCIAL.search(licence) for licence in self.licences)

    def to_json(self) -> dict[str, Any]:
        named = self.format is not None and NAMED_FORMATS.get(self.format.name) == self.format
        written = self.format.name if named and self.format is not None else self.parts()["format"]
        return {
            "version": VERSION,
            **self.parts(),
            "format": written,
            "base": self.base,
            "base_revision": self.base_revision,
            "data_sha256": self.data_sha256,
            "licences": list(self.licences),
            "recipe": self.recipe,
            "scores": dict(self.scores),
            "fingerprint": self.fingerprint,
            "fingerprint_parts": {name: _digest(part) for name, part in self.parts().items()},
        }

    def write(self, folder: Path) -> None:
        """Write reranker.json into `folder`, whole or not at all."""
        write_text(folder / FILE_NAME, json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n")


def tokenizer_sha256(folder: Path) -> str:
    """SHA-256 of the tokenizer.json in `folder`, in hexadecimal."""
    return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a checkpoint folder, or None where it has none.

    Raise ManifestError where it is not valid, or where its fingerprint is not that of its own parts or of the
    tokenizer beside it; the message names the part that differs.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not JSON: {error}.") from error
    manifest = manifest_from_json(data, str(path))
    _check_fingerprint(manifest, data, path)
    found = tokenizer_sha256(folder)
    if found != manifest.tokenizer_sha256:
        raise ManifestError(
            f"{path} belongs to another tokenizer: tokenizer_sha256 is {manifest.tokenizer_sha256[:12]}..., but the "
            f"tokenizer.json beside it has {found[:12]}...; restore the tokenizer the model was trained with."
        )
    return manifest


def public_format(model: str) -> PromptFormat | None:
    """The format of a public checkpoint that has no manifest, by its hub id; None for an unknown one."""
    return next((form for start, form in PUBLIC_CHECKPOINTS.items() if model.startswith(start)), None)


def manifest_from_json(data: Any, where: str) -> Manifest:
    """Build a manifest from parsed JSON. `where` is named in errors. Raise ManifestError with a sentence."""
    if not isinstance(data, dict):
        raise ManifestError(f"{where} must hold a JSON object, not {type(data).__name__}.")
    if data.get("version") != VERSION:
        raise ManifestError(f"{where} has version {data.get('version')!r}; this program reads version {VERSION}.")
    known = {item.name for item in fields(Manifest)} | {"version", "fingerprint", "fingerprint_parts"}
    if unknown := sorted(set(data) - known):
        raise ManifestError(f"{where} has unknown keys: {', '.join(unknown)}.")
    if data.get("kind") not in get_args(Kind):
        raise ManifestError(f"{where}: kind is {data.get('kind')!r}, not one of {', '.join(get_args(Kind))}.")
    return Manifest(
        kind=data["kind"],
        format=_format(data.get("format"), where),
        verdict_tokens=_verdict_tokens(data.get("verdict_tokens"), where),
        tokenizer_sha256=_text(data, "tokenizer_sha256", where),
        base=_text(data, "base", where),
        base_revision=data.get("base_revision"),
        temperature=_temperature(data, "temperature", where) or 1.0,
        reasoning_temperature=_temperature(data, "reasoning_temperature", where),
        data_sha256=data.get("data_sha256"),
        licences=_licences(data.get("licences", []), where),
        recipe=str(data.get("recipe", "")),
        scores=_scores(data.get("scores", {}), where),
    )


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


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


def _format(value: Any, where: str) -> PromptFormat | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in NAMED_FORMATS:
            raise ManifestError(f"{where}: there is no format {value!r}; known are {', '.join(sorted(NAMED_FORMATS))}.")
        return NAMED_FORMATS[value]
    names = {item.name for item in fields(PromptFormat)}
    if not isinstance(value, dict) or set(value) != names or not all(isinstance(v, str) for v in value.values()):
        raise ManifestError(f"{where}: format must be a name or an object of the texts {', '.join(sorted(names))}.")
    if value["instruction_place"] not in ("query", "preamble"):
        raise ManifestError(f"{where}: instruction_place is {value['instruction_place']!r}, not query or preamble.")
    return PromptFormat(**value)


def _verdict_tokens(value: Any, where: str) -> VerdictTokens | None:
    if value is None:
        return None
    ids = [value.get("true"), value.get("false")] if isinstance(value, dict) and set(value) == {"true", "false"} else []
    if not ids or not all(type(i) is int and i >= 0 for i in ids):
        raise ManifestError(f'{where}: verdict_tokens must be {{"true": id, "false": id}}.')
    return VerdictTokens(true=value["true"], false=value["false"])


def _text(data: dict[str, Any], key: str, where: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"{where}: {key} is {value!r}; it must be a text.")
    return value


def _temperature(data: dict[str, Any], key: str, where: str) -> float | None:
    if key not in data:
        return None
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ManifestError(f"{where}: {key} is {value!r}; it must be a number above 0.")
    return float(value)


def _licences(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ManifestError(f"{where}: licences must be a list of texts.")
    return tuple(value)


def _scores(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where}: scores must be an object.")
    return value
