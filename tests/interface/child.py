"""The process behind `Program`: reads calls as JSON lines, makes each, answers with how it ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, TextIO


def main() -> None:
    """Work until the standard input ends."""
    name = sys.argv[1]
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints past sys.stdout is no answer
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        _answer(answers, _made(name, json.loads(line)))


def _made(name: str, call: Mapping[str, Any]) -> dict[str, Any]:
    before = dict(os.environ)
    os.environ.update(call["env"])
    sys.argv = [name, *call["argv"]]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _exit_code(resolve_name(call["entry"]))
    finally:
        for variable in set(os.environ) - set(before):
            del os.environ[variable]
        os.environ.update(before)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def _exit_code(function: Any) -> int:
    try:
        return int(function() or 0)
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
            return 1
        return int(error.code or 0)
    except Exception:  # noqa: BLE001 - a fault of the program is an outcome too
        traceback.print_exc()
        return 1


def _answer(answers: TextIO, outcome: Mapping[str, Any]) -> None:
    answers.write(json.dumps(outcome) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
