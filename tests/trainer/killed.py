"""`limrank-train` that kills itself: `sft` in its fifth step, `own-traces` when two traces are kept."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.warm import WarmProcess, fork_from_here
from trainer.cli import main

_STEP, _TRACES = 5, 2


def _killed_at(last: int) -> Callable[..., None]:
    count = itertools.count(1)

    def called(*_: Any) -> None:
        if next(count) == last:
            _end_children()
            os.kill(os.getpid(), signal.SIGKILL)

    return called


def _end_children() -> None:
    """The service, which ends by itself only where it was started as the real command."""
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            os.kill(int(child), signal.SIGTERM)


def _kill_behind_traces() -> None:
    import pytest

    from evaluation.journal import ScoreJournal
    from tests.evaluation.warm_services import fork_services

    fork_from_here(WarmProcess)
    fork_services(pytest.MonkeyPatch())
    add, kept = ScoreJournal.add, _killed_at(_TRACES)

    def add_and_count(journal: ScoreJournal, *row: Any) -> None:
        add(journal, *row)
        kept()

    ScoreJournal.add = add_and_count  # type: ignore[method-assign, assignment]


def _kill_in_a_step() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(_killed_at(_STEP))


if __name__ == "__main__":
    {"own-traces": _kill_behind_traces, "sft": _kill_in_a_step}[sys.argv[1]]()
    main()
