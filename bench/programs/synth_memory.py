"""Peak memory of `limrank-synth export`, `verify` and `audit` on a generated file, each in its own process.

    python -m bench.programs.synth_memory --rows 1000000

A row takes about 1 KB; all texts are generated. A million rows need about 6 GB of disk in --folder. With --limit, exits
with 1 if any command needs more than that many MB.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.records import Difficulty, Intent, NegativeType, Record, Votes, write_records
from synth.filters.names import FILTERS

PER_QUERY = 10
VERIFIED = tuple(part for name in FILTERS if name != "language" for part in ("--filters", name))  # made-up words
CHILD = """
import sys
from synth.cli import main
code = main(sys.argv[1:])
sys.stderr.writelines(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
sys.exit(code)
"""
COMMANDS = {
    "export pointwise": ("export", "{out}", "--mix", "{records}"),
    "export pointwise, half drawn": ("export", "{out}", "--mix", "{records}={half}"),
    "export lce": ("export", "{out}", "--mix", "{records}", "--format", "lce"),
    "export listwise": ("export", "{out}", "--mix", "{records}", "--format", "listwise"),
    "audit": ("audit", "{records}", "{out}"),
    "verify": ("verify", "{records}", "{out}", *VERIFIED),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Wall time in seconds, peak resident memory in MB (10^6 bytes), and size of the output in MB."""

    seconds: float
    peak: float
    output: float


def records(rows: int) -> Iterator[Record]:
    """Generated records, ten per query; those of one query are far apart."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnoprstuvz", k=draw.randrange(3, 10))) for _ in range(20_000)]
    queries = max(1, rows // PER_QUERY)
    for number in range(rows):
        query, place = number % queries, number // queries
        relevant = place == 0
        yield Record(
            id=f"made-up/{query}/{place}",
            query=f"what is {words[query % 20_000]} {words[(query * 7) % 20_000]} number {query}",
            passage=" ".join(draw.choices(words, k=110)),
            relevant=relevant,
            trace=f"The passage is {'' if relevant else 'not '}about number {query}, so it is "
            f"{'relevant' if relevant else 'not relevant'}.",
            source="made-up",
            licence="CC0-1.0",
            domain=("finance", "law", "healthcare")[query % 3],
            difficulty=Difficulty.DIRECT,
            negative_type=None if relevant else NegativeType.BM25,
            intent=Intent.DIRECT,
            votes=Votes(true=3, false=0) if relevant else Votes(true=0, false=3),
        )


def measure(arguments: Sequence[str]) -> Measured:
    """Runs `limrank-synth` with these arguments in its own process. Raises `RuntimeError` when it fails.

    The peak is the process's own VmHWM (Linux); the figure from `wait` would include the parent's memory at the fork.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"limrank-synth {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    peak = int(done.stderr.rpartition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    out = Path(arguments[2] if arguments[0] != "export" else arguments[1])
    size = out.stat().st_size / 1e6
    out.unlink()
    return Measured(time.perf_counter() - started, peak, size)


def run(folder: Path, rows: int, names: Sequence[str]) -> Iterator[tuple[str, Measured]]:
    """Measures the named commands on `rows` generated records in `folder`."""
    path = folder / "records.jsonl"
    write_records(path, records(rows))
    values = {"records": str(path), "out": str(folder / "out"), "half": str(rows // 2)}
    for name in names:
        yield name, measure([part.format(**values) for part in COMMANDS[name]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to put the files (default: a temporary one)")
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--limit", type=float, default=None, help="most MB that any command may need")
    options = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="limrank-memory-", dir=options.folder) as folder:
        print(f"{'command':30} {'rows':>9} {'seconds':>9} {'peak MB':>9} {'output MB':>10}")
        for name, usage in run(Path(folder), options.rows, options.only):
            print(
                f"{name:30} {options.rows:9} {usage.seconds:9.1f} {usage.peak:9.0f} {usage.output:10.0f}",
                flush=True,
            )
            worst = max(worst, usage.peak)
    return 1 if options.limit is not None and worst > options.limit else 0


if __name__ == "__main__":
    raise SystemExit(main())
