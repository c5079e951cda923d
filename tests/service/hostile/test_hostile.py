"""Everything that attackers do, at once, beside a caller with a key: `make hostile` in short, without its clock.

Memory is compared with what a first attack left behind: what is made once is not given back, and a leak grows.
`make hostile` attacks the transformers engine too.
"""

from __future__ import annotations

from pathlib import Path

from bench.hostile.attacks import EXPECTED
from bench.hostile.rounds import FLAGS, Watched, attacked, unexpected, warm_up, write_keys
from tests.ports import free_port
from tests.processes import server
from tests.waiting import PATIENCE

SECONDS = 10.0
MEMORY_MARGIN = 0.15
SETTLE_SECONDS = 30.0
MODEL = "limrank-mini-ce"


def test_a_caller_with_a_key_is_served_whatever_others_do(tmp_path: Path) -> None:
    metrics = free_port()
    flags = ("--model", MODEL, "--keys-file", str(write_keys(tmp_path)), "--metrics-port", str(metrics), *FLAGS)
    with server("service.main", free_port(), tmp_path, *flags) as running:
        running.metrics_url = f"http://127.0.0.1:{metrics}"
        watched = Watched(running.url, running.process.pid, metrics)
        warm_up(watched)
        attacked(watched, watched, SECONDS)
        before = watched.settle(0, SETTLE_SECONDS)
        seen, found = attacked(watched, watched, SECONDS)
        after = watched.settle(int((1 + MEMORY_MARGIN) * before), PATIENCE)
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
