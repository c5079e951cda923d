"""Everything that attackers do, at once, beside a caller with a key: `make hostile` in short, without its clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hostile_attacks import EXPECTED
from bench.hostile_rounds import FLAGS, Watched, attacked, unexpected, warm_up, write_keys
from tests.ports import free_port
from tests.processes import server

SECONDS = 10.0
MEMORY_MARGIN = 0.15
SETTLE_SECONDS = 90.0


@pytest.mark.parametrize(
    ("engine", "model"), [("cross-encoder", "limrank-mini-ce"), ("transformers", "smollm2-135m-instruct")]
)
def test_a_caller_with_a_key_is_served_whatever_others_do(engine: str, model: str, tmp_path: Path) -> None:
    flags = ("--model", model, "--engine", engine, "--keys-file", str(write_keys(tmp_path)), *FLAGS)
    with server("service.main", free_port(), tmp_path, *flags) as running:
        watched = Watched(running.url, running.process.pid)
        before = warm_up(watched)
        seen, found = attacked(watched, running.url, SECONDS)
        after = watched.settle(int((1 + MEMORY_MARGIN) * before), SETTLE_SECONDS)
        last = watched.call_once()
        watched.close()
        running.wait_for("limrank_held_bytes", 0)
        running.wait_for("limrank_inflight_requests", 0)
        code = running.stop()
    log = running.log.read_text()
    assert seen.all_served, seen.statuses
    assert last == "200"
    assert seen.unanswered == 0
    assert not unexpected(found, EXPECTED)
    assert all(found.values()), "every attack came to something"
    assert after <= (1 + MEMORY_MARGIN) * before, (before, max(seen.memory), after)
    assert code == 0
    assert "Traceback" not in log, log[-3000:]
