"""`torchrun` whose workers are forked from a copy of it, so that they do not import once more what it has imported.

All else is torch's own: where they meet, what their environment says, how they are watched and ended.
"""

from __future__ import annotations

from typing import Any

from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
from torch.distributed.run import main

from tests.warm import WarmProcess, fork_from_here


class Worker(WarmProcess):
    """`python -u -m module ...`, as torchrun starts it."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        super()._execute_child([word for word in args if word != "-u"], *rest)


if __name__ == "__main__":
    fork_from_here(Worker)
    vars(subprocess_handler)["Popen"] = Worker
    main()
