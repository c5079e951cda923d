"""Entry point of `limrank-train`: one command, its settings, its work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import Any, NoReturn

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
_KNOWN: dict[str, type[Command]] = {
    "sft": Sft,
    "own-traces": OwnTraces,
    "cross-encoder": CrossEncoding,
    "merge": Merge,
    "package": Package,
    "calibrate": Calibration,
    "ablate": Ablation,
    "ablate-sft": SftAblation,
}
_WORK = {
    "sft": "train_sft:train_sft",
    "own-traces": "own_traces:own_traces",
    "cross-encoder": "train_cross_encoder:train_cross_encoder",
    "merge": "merge:merge",
    "package": "packaging:package",
    "calibrate": "calibrate_weights:calibrate",
    "ablate": "ablation_runs:ablate",
    "ablate-sft": "ablation_runs:ablate",
}
_HELP = """usage: limrank-train COMMAND [flags]

  sft             LoRA on a causal model, from records: trace and verdict, loss on the completion only
  own-traces      records with the traces an adapter writes itself, to train its verdicts on
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
    """Run the command that the arguments name; exit 0, or 2 with a sentence."""
    # Threads that spin while they wait make a step ten times slower on cores that others use too. OpenMP reads this
    # once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """The same with arguments given."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_HELP, end="")  # noqa: T201
        return 0
    name, *rest = argv
    if name not in _KNOWN:
        print(f"limrank-train: there is no command {name!r}; it has {', '.join(_KNOWN)}.", file=sys.stderr)  # noqa: T201
        return _EXIT_ERROR
    try:
        settings = read_command(_KNOWN[name], name, rest, list(_KNOWN.values()))
        _command(name)(settings)
    except TrainError as error:
        print(f"limrank-train: {error}", file=sys.stderr)  # noqa: T201
        return _EXIT_ERROR
    return 0


def _command(name: str) -> Callable[[Any], None]:
    """Each command's libraries are imported only when it runs."""
    found: Callable[[Any], None] = resolve_name(f"trainer.{_WORK[name]}")
    return found


if __name__ == "__main__":
    main()
