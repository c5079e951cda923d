"""`python -m tests.interface.script NAME ...`: a console script from this folder and not from an installation."""

from __future__ import annotations

import sys
from pkgutil import resolve_name

from tests.interface.programs import SCRIPTS

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.exit(resolve_name(SCRIPTS[sys.argv[0]])())
