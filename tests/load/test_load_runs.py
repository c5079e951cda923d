"""Short Locust runs against the real service with a small model, as processes, bounded as everybody's are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from loadtests.payloads import BAD_CALLS
from service.engine import Scoring
from tests.fakes import ScriptedEngine
from tests.load.locust_runs import PYTHON, SHORT, load, locust, require_locust, surroundings
from tests.processes import ROOT, ServerProcess
from tests.service.embedded_server import embedded_server
from tests.service.serving import SECRET, WITH_KEY, guarded_service, serving
from tests.waiting import PATIENCE, wait_until

_LARGE = 'limrank_request_duration_seconds_count{documents="11-50"'
_STEPS = """
from loadtests import shapes
each = shapes.shape("step", 5.0, 5)
for second in range(6):
    each.get_run_time = lambda: second
    print(each.tick())
"""


@pytest.fixture(scope="module")
def service(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    require_locust()
    with embedded_server(tmp_path_factory.mktemp("service"), "--model", str(small_model)) as running:
        yield running


def test_everybody_at_once(service: ServerProcess, tmp_path: Path) -> None:
    """The mix: each kind of caller is answered as it should be, and the service comes out of it idle and well."""
    page = tmp_path / "report.html"
    everybody = ("--scenario", "mixed", "--users", "7", "--spawn-rate", "7", "--batch-passages", "40")
    with load(tmp_path, service.url, *everybody, "--html", str(page)) as summary:
        for beginning, least in {
            'limrank_requests_total{code="200"': 40,
            _LARGE: 1,
            'limrank_verdicts_total{mode="reasoning"': 10,
            'limrank_requests_total{code="400"': 1,
            "limrank_requests_cancelled_total": 1,
        }.items():
            wait_until(partial(_counted, service.url, beginning, least), f"there are fewer of {beginning}", 0.2)
    assert summary["code"] == 0, summary
    assert set(summary["scenarios"]) == {"rag", "reasoning", "bursts", "batch"}, summary
    assert summary["failed"] == 0
    assert summary["left"] >= 1
    assert summary["rejected_as_expected"] >= 1
    assert summary["all"]["p99"] is None  # too few calls for one to mean something
    assert "RagUser" in page.read_text()
    service.wait_for("limrank_inflight_requests", 0)
    assert service.metric("limrank_documents_scored_total") >= summary["documents"]
    assert service.metric("limrank_requests_cancelled_total") >= 1
    assert service.get("/health/ready").status_code == 200


def _counted(url: str, beginning: str, least: int) -> bool:
    """Whether the series whose lines begin so have counted so many together."""
    lines = httpx.get(f"{url}/metrics", headers=WITH_KEY, timeout=PATIENCE).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginning)) >= least


def test_nobody_asks_a_cross_encoder_for_its_reasons(tmp_path: Path) -> None:
    require_locust()
    everybody = ("--scenario", "mixed", "--users", "6", "--batch-passages", "20")
    composition = guarded_service(tmp_path, ScriptedEngine(scoring=frozenset({Scoring.DIRECT}), seconds=0.001))
    with serving(composition.app) as url:
        with load(tmp_path, url, *everybody, "--key", SECRET) as summary:
            for least, beginning in ((40, 'limrank_requests_total{code="200"'), (1, _LARGE)):
                wait_until(partial(_counted, url, beginning, least), f"there are fewer of {beginning}", 0.2)
        without_key = locust(tmp_path, url, *everybody, "--max-calls", "1", *SHORT)
    assert summary["code"] == 0, summary
    assert set(summary["scenarios"]) == {"rag", "bursts", "batch"}
    assert (without_key.code, without_key.summary["answered"]) == (1, 0)


def test_a_missed_threshold_is_an_exit_code(service: ServerProcess, tmp_path: Path) -> None:
    small = ("--scenario", "capacity", "--users", "1", "--passages", "2", "--max-calls", "3", *SHORT)
    run = locust(tmp_path, service.url, *small, "--max-p95", "0.0001")
    assert (run.code, run.summary["failed"], len(run.summary["missed"])) == (1, 0, 1), run.said
    assert "threshold missed: p95 is" in run.said


def test_a_service_that_fails_is_an_exit_code(tmp_path: Path) -> None:
    require_locust()
    run = locust(tmp_path, "http://127.0.0.1:9", "--scenario", "rag", "--max-calls", "1", *SHORT)
    assert run.code == 1
    assert run.summary["failed"] >= 1
    assert "calls failed" in run.said


def test_a_run_grows_by_its_shape(service: ServerProcess, tmp_path: Path) -> None:
    run = locust(
        tmp_path,
        service.url,
        *("--scenario", "rag", "--shape", "step", "--users", "5", "--run-time", "5s", "--passages", "2", *SHORT),
    )
    assert run.code == 0, run.said
    steps = [int(callers) for callers in re.findall(r"Shape test updating to (\d+) users", run.said)]
    assert steps == sorted(set(steps)), run.said  # a machine that stands still for a second misses one
    assert len(steps) > 0
    assert run.summary["answered"] >= 1


def test_steps_of_a_shape() -> None:
    require_locust()
    command = [str(PYTHON), "-c", _STEPS]
    done = subprocess.run(command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*(f"({callers}, {callers}.0)" for callers in range(1, 6)), "None"]


def test_a_run_ends_by_its_count(service: ServerProcess, tmp_path: Path) -> None:
    few = ("--scenario", "rag", "--users", "2", "--passages", "2", "--max-calls", "2", "--run-time", "100s", *SHORT)
    run = locust(tmp_path, service.url, *few)
    assert run.code == 0, run.said
    assert 2 <= run.summary["answered"] <= 2 + 2  # calls that are under way then are waited for


def test_another_machine_is_never_loaded_by_mistake(tmp_path: Path) -> None:
    require_locust()
    run = locust(tmp_path, "http://rerank.example.com")
    assert (run.code, run.summary) == (2, {})
    assert "--allow-remote" in run.said


def test_the_capacity_table(service: ServerProcess, tmp_path: Path) -> None:
    """Cells end by their count, so that a machine that stands still measures something too."""
    out = tmp_path / "capacity.md"
    command = [PYTHON, "-m", "loadtests.capacity", "--host", service.url, "--out", out]
    bounds = ["--callers", "1,2", "--passages", "2", "--seconds", "120", "--calls", "20", *SHORT]
    done = subprocess.run(
        [*map(str, command), *bounds], cwd=ROOT, env=surroundings(), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, _, *rows = out.read_text().splitlines()
    assert header.split("|")[1].strip() == "callers"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    assert [cell[:2] for cell in cells] == [["1", "2"], ["2", "2"]]
    for callers, passages, calls, p50, p95, p99, speed, refused, failed in cells:
        assert int(calls) >= 20
        assert 0 < float(p50) <= float(p95)
        assert p99 == "-", "of so few calls"
        most = 2 * int(callers) * int(passages) / float(p50)  # half of the calls took p50 or longer
        assert 0 < float(speed) <= 1.1 * most
        assert (refused, failed) == ("0", "0")


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: bad.name)
def test_the_service_answers_each_bad_call_as_the_load_run_expects(service: ServerProcess, bad: object) -> None:
    [call] = [each for each in BAD_CALLS if each is bad]
    headers = {"Content-Type": "application/json"}
    answer = httpx.request(call.method, service.url + call.path, content=call.body, headers=headers, timeout=PATIENCE)
    assert answer.status_code in call.expected, answer.text
