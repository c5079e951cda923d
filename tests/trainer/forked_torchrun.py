"""`torchrun` whose workers are forked from a copy of it, so that they do not import once more what it has imported.

All else is torch's own: where they meet, what their environment says, how they are watched and ended. The method's name
in its event log alone is found at less cost: torch looks for the sources of the whole stack, seconds for each launch.
"""

from __future__ import annotations

import sys
from typing import Any

from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
from torch.distributed.elastic.rendezvous import dynamic_rendezvous
from torch.distributed.run import main

from tests.warm import WarmProcess, fork_from_here


class Worker(WarmProcess):
    """`python -u -m module ...`, as torchrun starts it."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        super()._execute_child([word for word in args if word != "-u"], *rest)


def _caller(depth: int = 2) -> str:
    return sys._getframe(depth).f_code.co_name


if __name__ == "__main__":
    fork_from_here(Worker)
    vars(subprocess_handler)["Popen"] = Worker
    vars(dynamic_rendezvous)["get_method_name"] = _caller
    main()
