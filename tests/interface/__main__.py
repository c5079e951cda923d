"""`python -m tests.interface` adds what is found to tests/data/interface.json, and prints what that is.

What only a cold start logs is left out: whether it is found depends on the machine's cache.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from tests.interface.collecting import collect

_LIST = Path(__file__).parent.parent / "data" / "interface.json"
_COLD = ("progress", "converting_model")


def main() -> None:
    known: dict[str, list[str]] = json.loads(_LIST.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        found = collect(Path(folder))
    for kind, names in found.items():
        new = [name for name in names if name not in known.get(kind, []) and not _is_cold(kind, name)]
        known[kind] = sorted({*known.get(kind, []), *new})
        sys.stdout.writelines(f"{kind}: {name}\n" for name in new)
    _LIST.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_cold(kind: str, name: str) -> bool:
    return kind.startswith("log ") and re.split("[: ]", name)[0] in _COLD


if __name__ == "__main__":
    main()
