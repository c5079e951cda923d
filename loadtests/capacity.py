"""The capacity table: for each number of callers and of passages a call, what a service answers, how fast.

    .venv-load/bin/python -m loadtests.capacity --host http://127.0.0.1:8080 --callers 1,4,16 --passages 10,50

Each cell is a Locust run of its own, bounded in seconds and calls; its callers never pause.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.settings import DEFAULT_HOST

LOCUSTFILE = Path(__file__).parent / "locustfile.py"
HEADER = ("callers", "passages", "calls", "p50 s", "p95 s", "p99 s", "docs/s", "refused", "failed")
_SECONDS_TO_FINISH = 330  # a call that began in time may run for the longest deadline of a service


class CellError(Exception):
    """A cell that could not be measured. The message is Locust's last words."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is measured, and the bounds of each cell."""

    host: str
    callers: tuple[int, ...]
    passages: tuple[int, ...]
    seconds: int
    calls: int
    further: tuple[str, ...] = ()

    def cells(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Callers, passages and the numbers of each cell, as they are measured. Raise CellError."""
        for passages in self.passages:
            for callers in self.callers:
                yield callers, passages, self._measure(callers, passages)

    def _measure(self, callers: int, passages: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            summary = Path(folder) / "summary.json"
            flags = {
                "--host": self.host,
                "--users": callers,
                "--spawn-rate": callers,
                "--run-time": f"{self.seconds}s",
                "--max-calls": self.calls,
                "--passages": passages,
                "--summary": summary,
                "--max-refused": 1,
                "--max-failed": 1,
            }
            pairs = [str(part) for pair in flags.items() for part in pair]
            done = _locust("--scenario", "capacity", "--stop-timeout", "300s", *pairs, *self.further, most=self.seconds)
            if not summary.exists():
                raise CellError(f"{callers} callers, {passages} passages: {done.stderr[-2000:]}")
            found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
            return found


def _locust(*arguments: str, most: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", *arguments]
    seconds = most + _SECONDS_TO_FINISH
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603


def row(callers: int, passages: int, found: dict[str, Any]) -> str:
    """A line of the table; what was not measured is a dash."""
    times, speed = found["all"], found["documents_per_second"]
    shown = ["-" if times[name] is None else f"{times[name]:.3f}" for name in ("p50", "p95", "p99")]
    cells = [
        callers,
        passages,
        times["calls"],
        *shown,
        speed,
        found["refused"],
        found["failed"],
    ]
    return f"| {' | '.join(map(str, cells))} |"


def table(sweep: Sweep, write: Any) -> list[str]:
    """Measure everything, passing each line of a Markdown table to `write` as it is known. Returns the lines."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    for line in lines:
        write(line)
    for cell in sweep.cells():
        lines.append(row(*cell))
        write(lines[-1])
    return lines


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(argv: Sequence[str]) -> int:
    """Print the table and, if asked, write it to a file. Further arguments go to Locust."""
    parser = argparse.ArgumentParser(prog="loadtests.capacity", description=__doc__)
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--callers", type=_numbers, default=(1, 4, 16), help="by commas; default 1,4,16")
    parser.add_argument("--passages", type=_numbers, default=(10, 50), help="by commas; default 10,50")
    parser.add_argument("--seconds", type=int, default=20, help="of each cell, at most; default 20")
    parser.add_argument("--calls", type=int, default=600, help="of each cell, at most; default 600")
    parser.add_argument("--out", type=Path, default=None, help="file for the table")
    options, further = parser.parse_known_args(argv)
    sweep = Sweep(options.host, options.callers, options.passages, options.seconds, options.calls, tuple(further))
    try:
        lines = table(sweep, lambda line: sys.stdout.write(line + "\n"))
    except CellError as error:
        sys.stderr.write(f"loadtests: {error}\n")
        return 1
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
