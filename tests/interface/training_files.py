"""The files that limrank-train writes: run folders, adapters, checkpoints, manifests, an ablation's table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.evaluation.small_data import beir_folder
from tests.interface.folders import folder_pins
from tests.interface.keypaths import key_paths
from tests.interface.programs import PACKAGES, ROOT, Program

# Files of the training library, which may name them as it likes.
_OF_THE_LIBRARY = ("checkpoints/checkpoint-", "events.out.tfevents", "training_args")
_STEPS = {"learning-rate": 0.01, "batch": 2, "device-batch": 2, "max-steps": 2, "log-steps": 1}
_ORIGIN = {"source": "own", "licence": "CC0-1.0", "domain": "kitchen"}


def training_pins(train: Program, folder: Path) -> dict[str, set[str]]:
    """Make small runs of both kinds, and what can be made of their results, in `folder`."""
    out, bases = folder / "out", folder / "bases"
    data = _write_data(folder)
    train.succeed(bases, entry="tests.interface.small_bases:main")
    steps = {"dev": beir_folder(folder / "dev", split="dev"), "base-licence": "Apache-2.0", "checkpoint-steps": 1}
    for command, base in (("sft", "causal"), ("cross-encoder", "encoder")):
        flags = _STEPS | steps | {"base": bases / base, "data": data[command], "folder": out / command}
        flags |= {"rank": 2, "max-tokens": 2048} if command == "sft" else {"calibration": 2, "max-tokens": 64}
        train.succeed(command, *_words(flags))
        train.succeed("package", "--folder", out / command, "--weights", out / "weights", "--name", f"small-{command}")
        if command == "cross-encoder":
            train.succeed("ablate", "negatives", *_words(flags | {"folder": out / "ablation", "max-steps": 1}))
    merged = {"base": bases / "causal", "adapter": out / "sft" / "adapter", "out": out / "merged"}
    train.succeed("merge", *_words(merged))
    pins = folder_pins(out, "train", _is_ours)
    return {"files of limrank-train": pins, "reranker.json": _shipped_manifests()}


def _is_ours(name: str) -> bool:
    return name.endswith("complete.json") or not any(part in name for part in _OF_THE_LIBRARY)


def _shipped_manifests() -> set[str]:
    """The keys of the manifests that come with the product, which old and new versions must both read."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("reranker.json"))]
    values = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {f"{name} {key}" for name, value in values.items() for key in key_paths(value | {"scores": {}})}


def _words(flags: Mapping[str, object]) -> list[object]:
    return [word for name, value in flags.items() for word in (f"--{name}", value)]


def _write_data(folder: Path) -> dict[str, Path]:
    """Records and groups, written by hand: files of this form must stay readable."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [
        {"id": f"r{n}", "query": f"why does dough {n} rise", "passage": f"Yeast {n} makes gas.", "instruction": None}
        | {"relevant": n % 2 == 0, "trace": f"The passage is about yeast {n}.", "difficulty": "direct"}
        | {"negative_type": "bm25" if n % 2 else None, "intent": "direct", "votes": None, **_ORIGIN}
        for n in range(8)
    ]
    groups = [
        {"id": f"g{n}", "query": f"why does dough {n} rise", "instruction": None, "positive": f"Yeast {n} makes gas."}
        | {"negatives": [f"Cheese {n}.{place} ripens." for place in range(3)], **_ORIGIN}
        for n in range(8)
    ]
    return {
        "sft": _write(folder / "records.jsonl", "limrank.records", records),
        "cross-encoder": _write(folder / "groups.jsonl", "limrank.groups", groups),
    }


def _write(path: Path, file_format: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    lines = [json.dumps(row) for row in ({"format": file_format, "version": 1}, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
