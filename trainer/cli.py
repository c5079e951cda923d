"""Entry point of `limrank-train`: reads the settings of a command and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import NoReturn

from trainer.errors import TrainError
from trainer.settings import (
    Ablation,
    Calibration,
    Command,
    CrossEncoding,
    Merge,
    OwnTraces,
    Package,
    Sft,
    SftAblation,
    read_command,
)

_EXIT_ERROR = 2
# Each command's settings and function, whose libraries are imported only when it runs.
_COMMANDS: dict[str, tuple[type[Command], str]] = {
    "sft": (Sft, "trainer.sft.train:train_sft"),
    "own-traces": (OwnTraces, "trainer.sft.self_traces:own_traces"),
    "cross-encoder": (CrossEncoding, "trainer.cross_encoder.train:train_cross_encoder"),
    "merge": (Merge, "trainer.publish.merge:merge"),
    "package": (Package, "trainer.publish.package:package"),
    "calibrate": (Calibration, "trainer.publish.calibrate:calibrate"),
    "ablate": (Ablation, "trainer.ablation.runs:ablate"),
    "ablate-sft": (SftAblation, "trainer.ablation.runs:ablate"),
}
_HELP = """usage: limrank-train COMMAND [flags]

  sft             LoRA on a causal model, from records: trace and verdict, loss on the completion only
  own-traces      records with the traces a model writes itself, to train its verdicts on
  cross-encoder   an encoder with one output, from groups, by localized contrastive estimation
  merge           an adapter into its base: a checkpoint with manifest and model card
  package         the result of a run into the distribution, if it is the best so far
  calibrate       the temperatures that limrank-eval fitted into the manifest
  ablate KIND     cross-encoder trainings with one thing changed at a time: a table and a plot
  ablate-sft KIND the same for sft: with and without traces, or by volume

`limrank-train COMMAND --help` lists the flags. Every flag can be given in the environment: --some-flag is
LIMRANK_TRAIN_SOME_FLAG. --config NAME takes a file of trainer/configs. Flags win, then the environment.
"""


def main() -> NoReturn:
    """Run the command that the arguments name; exit with 0, or with 2 and a sentence."""
    # Threads that spin while they wait make a step ten times slower on cores that other processes use too. OpenMP reads
    # this once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Run the command that `argv` names and return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP, end="")  # noqa: T201
        return 0
    name, *rest = argv
    if name not in _COMMANDS:
        print(f"limrank-train: there is no command {name!r}; it has {', '.join(_COMMANDS)}.", file=sys.stderr)  # noqa: T201
        return _EXIT_ERROR
    try:
        kind, work = _COMMANDS[name]
        settings = read_command(kind, name, rest, [known for known, _ in _COMMANDS.values()])
        resolve_name(work)(settings)
    except TrainError as error:
        print(f"limrank-train: {error}", file=sys.stderr)  # noqa: T201
        return _EXIT_ERROR
    return 0


if __name__ == "__main__":
    main()
