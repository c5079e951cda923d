from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.api.app import Composition
from service.api.paths import LIVE_PATHS, METRICS_PATH, PROBE_PATHS, READY_PATHS
from service.api.probes import metrics_app
from service.lifecycle import Phase
from tests.service.serving import WITH_KEY, guarded_service, serving


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory) -> Composition:
    return guarded_service(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def client(composition: Composition) -> Iterator[httpx.Client]:
    with serving(composition.app) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def phase(composition: Composition, client: httpx.Client) -> Iterator[Composition]:
    """The running service, whose phase the test may change."""
    yield composition
    composition.lifecycle.phase = Phase.READY
    composition.lifecycle.engine_fault = None


@pytest.mark.parametrize(
    ("set_to", "live", "ready"),
    [
        (Phase.STARTING, 200, 503),
        (Phase.READY, 200, 200),
        (Phase.LEAVING, 200, 503),
        (Phase.DRAINING, 200, 503),
        (Phase.DEAD, 503, 503),
    ],
)
def test_what_each_phase_answers(
    phase: Composition, client: httpx.Client, set_to: Phase, live: int, ready: int
) -> None:
    phase.lifecycle.phase = set_to
    assert {client.get(path).status_code for path in LIVE_PATHS} == {live}
    answers = [client.get(path) for path in READY_PATHS]
    assert {answer.status_code for answer in answers} == {ready}
    if ready == 503:
        assert answers[0].json() == {"status": "not ready", "reason": phase.lifecycle.reason}
        assert int(answers[0].headers["retry-after"]) > 0
    assert client.get(METRICS_PATH).status_code == 200
    assert f"limrank_ready {float(ready == 200)}" in client.get(METRICS_PATH).text


@pytest.mark.parametrize(("set_to", "ends"), [(Phase.READY, False), (Phase.LEAVING, True), (Phase.DRAINING, True)])
def test_a_server_that_is_going_ends_the_connections_that_calls_come_on(
    phase: Composition, client: httpx.Client, set_to: Phase, ends: bool
) -> None:
    """A client that keeps them would come back on them, whatever the balancer knows by then."""
    phase.lifecycle.phase = set_to
    called = client.post("/rerank", json={"query": "q", "documents": ["a"]}, headers=WITH_KEY)
    assert called.status_code == (503 if set_to is Phase.DRAINING else 200)
    assert called.headers.get_list("connection") == (["close"] if ends else [])
    assert "connection" not in client.get("/health/ready").headers


@pytest.mark.parametrize("path", sorted(PROBE_PATHS))
def test_probes_answer_get_and_head_and_nothing_else(client: httpx.Client, path: str) -> None:
    assert client.head(path).status_code == 200
    assert client.head(path).content == b""
    assert client.post(path).status_code == 405


def test_metrics_are_in_the_format_asked_for(client: httpx.Client) -> None:
    assert client.get(METRICS_PATH).headers["content-type"].startswith("text/plain; version=0.0.4")
    asked = client.get(METRICS_PATH, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    assert asked.text.endswith("# EOF\n")


def test_metrics_on_a_port_of_their_own_leave_the_service_s(tmp_path: Path) -> None:
    composition = guarded_service(tmp_path, metrics_port=0)
    with serving(composition.app) as url, serving(metrics_app(composition.metrics)) as own:
        assert httpx.get(f"{url}/metrics", headers=WITH_KEY).status_code == 404
        assert httpx.get(f"{url}/info", headers=WITH_KEY).status_code == 200
        shown = httpx.get(f"{own}/metrics")
        assert 'limrank_requests_total{code="200",route="/info",shape="none"} 1.0' in shown.text
        assert httpx.get(f"{own}/info").status_code == 404
