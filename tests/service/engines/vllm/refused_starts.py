"""Starts of limrank-serve that must fail, each in a process of its own, which does not import vLLM once more.

Reads a JSON object from standard input: for each start by name its arguments, its environment, and whether a GPU is
seen. Writes one: exit code and standard error. This process imports vLLM, which takes ten seconds, and forks for each.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    starts: dict[str, dict[str, Any]] = json.load(sys.stdin)
    import service.engines.vllm.client  # noqa: F401 - what is forked has it

    running = {name: _forked(start) for name, start in starts.items()}
    found = {}
    for name, (pid, said) in running.items():
        _, status = os.waitpid(pid, 0)
        os.lseek(said, 0, os.SEEK_SET)
        with os.fdopen(said) as lines:
            found[name] = [os.waitstatus_to_exitcode(status), lines.read()]
    json.dump(found, sys.stdout)


def _forked(start: dict[str, Any]) -> tuple[int, int]:
    """The id of a process that runs it, and the descriptor of what that says."""
    said = os.memfd_create("said")
    pid = os.fork()
    if pid:
        return pid, said
    code = 70
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        _serve(start)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - told by the exit code and what is said
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(start: dict[str, Any]) -> None:
    import torch

    from service.main import main as serve

    os.environ |= start["environment"]
    if start["gpu"]:  # what torch says on a machine with a GPU, and nothing else of one
        torch.cuda.is_available = lambda: True
    sys.argv = ["limrank-serve", *start["arguments"]]
    serve()


if __name__ == "__main__":
    main()
