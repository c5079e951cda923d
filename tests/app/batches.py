"""What the tests of batches share: files of calls in every shape, and the command, here or as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.batch.command import COMMAND, PROGRAM
from cli.commands import run_command
from tests.processes import ROOT, clean_environment

WORDS = ["gout", "joint", "pain", "moon", "rock", "colchicine", "acute", "uric", "acid", "diet"]


def call_lines(count: int, documents: int = 3, *, filler: str = "") -> list[dict[str, Any]]:
    """Calls of five queries in turn and of all three shapes."""
    return [
        {"custom_id": f"call-{number}", "method": "POST", "url": "/v1/rerank", "body": _body(number, documents, filler)}
        for number in range(count)
    ]


def _body(number: int, documents: int, filler: str) -> dict[str, Any]:
    query = f"how is {WORDS[number % 5]} treated"
    texts = [f"{WORDS[(number + at) % 10]} {WORDS[at % 10]} {number}{filler}" for at in range(documents)]
    match number % 3:
        case 0:
            return {"query": query, "documents": texts}
        case 1:
            return {"query": query, "texts": texts, "raw_scores": True}
        case _:
            return {"query": {"text": query}, "passages": [{"text": text} for text in texts]}


def write_calls(path: Path, rows: Sequence[dict[str, Any]], *, width: int = 0) -> Path:
    """`width`: the least bytes of a line, which ends with blanks."""
    path.write_text("".join(json.dumps(row).ljust(width - 1) + "\n" for row in rows), encoding="utf-8")
    return path


def batch(*argv: object) -> int:
    """Run the command in this process; its exit code."""
    return run_command("limrank batch", PROGRAM, COMMAND, [str(word) for word in argv], [COMMAND])


def start(*argv: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "app.cli", "batch", *map(str, argv)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(**environment), stdout=pipe, stderr=pipe, text=True
    )


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The lines of OUT or OUT.errors by their custom_id, which stands once."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = {row["custom_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found
