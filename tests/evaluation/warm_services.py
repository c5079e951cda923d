"""Services that a command in this process starts, forked from a process that has imported the libraries already.

`tests.evaluation.test_local_service` starts the real command, and has it end with its parent.
"""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from evaluation.scorers import local_service
from tests.warm import WarmProcess


def fork_services(monkeypatch: pytest.MonkeyPatch) -> None:
    started = SimpleNamespace(Popen=WarmProcess, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(local_service, "subprocess", started)
    monkeypatch.setattr(local_service, "_program", lambda: [sys.executable, "-m", "service.main"])
