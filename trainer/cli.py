"""Entry point of `limrank-train`: reads the settings of a command and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cli.commands import Subcommand, run_command
from cli.output import say
from trainer.ablation.settings import Ablation, SftAblation
from trainer.cross_encoder.groups import read_all
from trainer.run.bases import resolve
from trainer.run.ready import ready
from trainer.settings import (
    PROGRAM,
    Calibration,
    CrossEncoding,
    Merge,
    OwnTraces,
    Package,
    Sft,
)

_EXIT_ERROR = 2
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
    """Runs the command that the arguments name. Exits with 0, or with 2 after printing a sentence."""
    # Spinning threads make a step ten times slower on cores that other processes use too. OpenMP reads this variable
    # once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Runs the command that `argv` names and returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        say(_HELP.removesuffix("\n"))
        return 0
    command = next((command for command in COMMANDS if command.name == argv[0]), None)
    if command is None:
        names = ", ".join(command.name for command in COMMANDS)
        sys.stderr.write(f"{PROGRAM.name}: there is no command {argv[0]!r}; it has {names}.\n")
        return _EXIT_ERROR
    return run_command(PROGRAM.name, PROGRAM, command, argv[1:], COMMANDS)


# The implementation of a command is imported only when it runs: its libraries take seconds to load.


def _sft(settings: Sft) -> None:
    settings = ready(settings)
    from trainer.sft.train import train_sft

    train_sft(settings)


def _own_traces(settings: OwnTraces) -> None:
    from trainer.sft.self_traces import own_traces

    own_traces(settings)


def _cross_encoder(settings: CrossEncoding) -> None:
    settings = ready(settings, read_all)
    from trainer.cross_encoder.train import train_cross_encoder

    train_cross_encoder(settings)


def _merge(settings: Merge) -> None:
    from trainer.publish.merge import merge

    merge(settings.model_copy(update={"base": resolve(settings.base).folder}))


def _package(settings: Package) -> None:
    from trainer.publish.package import package

    package(settings)


def _calibrate(settings: Calibration) -> None:
    from trainer.publish.calibrate import calibrate

    calibrate(settings)


def _ablate(settings: Ablation | SftAblation) -> None:
    settings = ready(settings)
    from trainer.ablation.runs import ablate

    ablate(settings)


COMMANDS = (
    Subcommand("sft", Sft, _sft),
    Subcommand("own-traces", OwnTraces, _own_traces),
    Subcommand("cross-encoder", CrossEncoding, _cross_encoder),
    Subcommand("merge", Merge, _merge),
    Subcommand("package", Package, _package),
    Subcommand("calibrate", Calibration, _calibrate),
    Subcommand("ablate", Ablation, _ablate),
    Subcommand("ablate-sft", SftAblation, _ablate),
)


if __name__ == "__main__":
    main()
