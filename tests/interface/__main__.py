"""Print everything found as JSON, for tests/data/interface.json."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.interface.collecting import collect

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        pins = collect(Path(folder))
    sys.stdout.write(json.dumps(pins, indent=1, ensure_ascii=False) + "\n")
