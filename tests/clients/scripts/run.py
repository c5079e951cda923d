"""Run the calls of one script, with only the client's own environment on the path, and print what came of each.

    python -P run.py SCRIPT [SNIPPET ...] < case.json

`case.json` is {url, key, slow_key, query, documents}; the slow key is good for one call a minute. The snippets are run
first, as programs of their own would be. SCRIPT defines `calls`, which takes the case's values and returns named
functions. The last line printed is a JSON object: for each name either {"value": ...} or
{"error": {type, bases, status, text}}.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from typing import Any


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    """What a call returned, or the error its client raised. The test says which of the two was due."""
    try:
        return {"value": call()}
    except Exception as error:  # noqa: BLE001  (every client has its own classes, and the test names the one it wants)
        return {
            "error": {
                "type": type(error).__name__,
                "bases": [base.__name__ for base in type(error).__mro__],
                "status": getattr(error, "status_code", None) or getattr(error, "http_status", None),
                "text": str(error),
            }
        }


def main(script: str, *snippets: str) -> None:
    for snippet in snippets:
        runpy.run_path(snippet, run_name="__main__")
    calls = runpy.run_path(script)["calls"](**json.load(sys.stdin))
    print(json.dumps({name: outcome(call) for name, call in calls.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
