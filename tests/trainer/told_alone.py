"""`limrank-train` of several processes, of which the second alone gets SIGTERM, in its second step."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from trainer.cli import main

_TOLD_AT = 2
_steps = itertools.count(1)


def _told(*_: Any) -> None:
    if next(_steps) == _TOLD_AT:
        signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        register_optimizer_step_post_hook(_told)
    main()
