"""`limrank`: one command for everything. `serve`, `synth`, `train` and `eval` run the programs of those names; the
other commands are implemented in this package."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import FrameType

from cli.commands import Subcommand, run_command
from cli.environment import Program, close_name
from cli.errors import Interrupted
from cli.output import drop_output, say
from cli.version import installed_version

_HELP = """usage: limrank COMMAND ... (limrank COMMAND --help says more)

{commands}

serve, synth, train and eval are also programs of their own: limrank-serve, limrank-synth, limrank-train, limrank-eval.
"""
_EXIT_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Door:
    """One command. `run` takes the arguments after its name and returns the exit code."""

    name: str
    summary: str
    run: Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        sys.stderr.write(help_page())
        return _EXIT_UNKNOWN
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help", "help"):
        say(help_page().removesuffix("\n"))
        return 0
    if name == "--version":
        say(installed_version())
        return 0
    door = next((door for door in DOORS if door.name == name), None)
    if door is None:
        close = close_name(name, [door.name for door in DOORS], "")
        sys.stderr.write(
            f"limrank: there is no command {name!r}{close.rstrip('.') or ';'} `limrank --help` lists all.\n"
        )
        return _EXIT_UNKNOWN
    return door.run(rest)


def help_page() -> str:
    """All commands, one line each."""
    width = max(len(door.name) for door in DOORS) + 2
    return _HELP.format(commands="\n".join(f"  {door.name:{width}}{door.summary}" for door in DOORS))


def _program(module: str, name: str) -> Callable[[Sequence[str]], int]:
    """Runs a program whose `main` reads `sys.argv`."""

    def run(argv: Sequence[str]) -> int:
        sys.argv = [name, *argv]
        code = import_module(module).main()
        return int(code or 0)

    return run


def _own(module: str) -> Callable[[Sequence[str]], int]:
    """Runs a command of this package: its module defines `PROGRAM` and `COMMAND`."""

    def run(argv: Sequence[str]) -> int:
        # Spinning threads slow down others on shared cores. OpenMP reads this variable when torch is imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        signal.signal(signal.SIGTERM, _stop)
        defined = import_module(module)
        program: Program = defined.PROGRAM
        command: Subcommand = defined.COMMAND
        speaker = f"limrank {command.name}"
        try:
            return run_command(speaker, program, command, argv, [command])
        except KeyboardInterrupt:
            sys.stderr.write(f"{speaker}: stopped.\n")
            return Interrupted.exit_code
        except BrokenPipeError:  # the reader closed the pipe, as `head` does
            drop_output()
            return 0

    return run


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


DOORS = (
    Door("serve", "serve a model: POST /rerank", _program("service.main", "limrank-serve")),
    Door("rerank", "rank files or lines by their relevance to a query, here and now", _own("app.rerank")),
    Door("batch", "rerank a file of calls, resumably", _own("app.batch.command")),
    Door("tune", "make a reranker for a folder of documents, and say whether it helps", _own("app.tune.command")),
    Door("synth", "make training data with language models", _program("synth.cli", "limrank-synth")),
    Door("train", "train a reranker", _program("trainer.cli", "limrank-train")),
    Door("plan", "estimate what a training run needs on given GPUs, from the shapes of a model", _own("app.plan")),
    Door("eval", "measure rerankers", _program("evaluation.cli", "limrank-eval")),
)


if __name__ == "__main__":
    sys.exit(main())
