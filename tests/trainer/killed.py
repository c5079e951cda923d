"""`limrank-train` that kills itself: `sft` in its fifth step, `own-traces` when two traces are kept."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from trainer.cli import main

_STEP, _TRACES = 5, 2


def _killed_at(last: int) -> Callable[..., None]:
    count = itertools.count(1)

    def called(*_: Any) -> None:
        if next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return called


def _kill_behind_traces() -> None:
    from evaluation.journal import ScoreJournal

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
