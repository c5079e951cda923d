"""One page with our series and vLLM's: `promtool` finds nothing in ours, a real Prometheus takes all of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helm.live_prometheus import prometheus
from tests.processes import ServerProcess
from tests.requirements_check import require
from tests.service.engines.vllm.scripted_traces import marker

SERIES = (
    "rate(vllm:prefix_cache_hits_total[1m])",
    "vllm:prefix_cache_queries_total",
    "vllm:num_requests_running",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:request_inference_time_seconds_bucket",
    'limrank_tokens_total{kind="reasoning"} > 0',
    'limrank_verdicts_total{mode="reasoning", status="complete"} > 0',
    'limrank_verdicts_total{mode="direct", status="complete"} > 0',
    "limrank_queue_wait_seconds_bucket",
    "limrank_inference_seconds_bucket",
    "limrank_verdict_steps_total > 0",
    "limrank_verdict_recomputed_tokens_total > 0",
    "limrank_engine_requests",
)


@pytest.fixture
def used(running: ServerProcess) -> ServerProcess:
    """The server after a call in each mode."""
    body = {"query": "how is influenza treated", "documents": [f"Rest. {marker('closed')}", "Fluids."]}
    for mode in ("direct", "reasoning"):
        assert running.rerank(body | {"mode": mode, "max_reasoning_tokens": 20}).status_code == 200
    return running


def test_promtool_finds_nothing_in_our_series(used: ServerProcess) -> None:
    require("promtool", present=shutil.which("promtool") is not None, remedy="install Debian's package prometheus")
    page = used.get("/metrics").text.splitlines(keepends=True)
    ours = "".join(line for line in page if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith("limrank_"))
    assert "limrank_verdict_steps_total" in ours
    done = subprocess.run(["promtool", "check", "metrics"], input=ours.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_real_prometheus_takes_the_whole_page(used: ServerProcess, tmp_path: Path) -> None:
    require("prometheus", present=shutil.which("prometheus") is not None, remedy="install Debian's package prometheus")
    with prometheus(tmp_path, used.url.removeprefix("http://"), "tests", "limrank") as watching:
        watching.wait_for('up{job="limrank"} == 1')
        for expression in SERIES:
            watching.wait_for(expression)
        (target,) = watching.ask("targets")["activeTargets"]
        assert target["lastError"] == ""
        scraped = watching.query('scrape_samples_scraped{job="limrank"}')[0]
        shown = [line for line in used.get("/metrics").text.splitlines() if line and not line.startswith("#")]
        assert scraped == pytest.approx(len(shown), abs=5)
