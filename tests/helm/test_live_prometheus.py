"""The service as the chart sets it up, under load, watched by a real Prometheus: every name that a rule, an alert, a
panel or an autoscaler uses must have a series, and every expression a value."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.helm.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    environment,
    find,
    rendered,
    require_helm,
    require_prometheus,
)
from tests.helm.live_load import SIZES, Load
from tests.helm.live_prometheus import Prometheus, prometheus
from tests.helm.promql import FOREIGN, panel_expressions, rule_expressions, rules, selectors
from tests.ports import free_port
from tests.service.embedded_server import embedded_server
from tests.waiting import PATIENCE

KEY = "a-key-of-the-live-test"
JOB = f"{RELEASE}-limrank"
VARIABLES = {"$namespace": ".*", "$job": JOB, "$instance": ".+", "$__rate_interval": "5m"}
# What the chart sets and a test machine must set for itself.
PLACES = {"LIMRANK_HOST", "LIMRANK_PORT", "LIMRANK_METRICS_PORT", "LIMRANK_KEYS_FILE"}


@dataclass(frozen=True, slots=True)
class Release:
    """The service as a release of the chart would run it, the load it was under, and Prometheus beside it."""

    url: str
    metrics_url: str
    load: Load
    prometheus: Prometheus


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    require_helm()
    require_prometheus("prometheus")
    folder = tmp_path_factory.mktemp("release")
    keys = folder / "keys.toml"
    keys.write_text(f'[[keys]]\nname = "test"\nsecret = "{KEY}"\n')
    settings = {name: value for name, value in environment(rendered("default")).items() if name.startswith("LIMRANK_")}
    target = f"127.0.0.1:{free_port()}"
    own = {
        "LIMRANK_METRICS_PORT": target.partition(":")[2],
        "LIMRANK_KEYS_FILE": str(keys),
        "LIMRANK_REQUEST_TIMEOUT_SECONDS": "3600",  # the machine may be busy
        "LIMRANK_WINDOW": "8",  # so that documents wait
    }
    given = {name: value for name, value in settings.items() if name not in PLACES} | own
    with (
        embedded_server(folder, **given) as server,
        prometheus(folder, target, NAMESPACE, JOB) as watching,
    ):
        watching.wait_for("count_over_time(limrank_ready[1m]) > 2")
        load = Load(server.url, KEY)
        load.run()
        # The last that the load sends, and what the service counts only once it has noticed that a caller left.
        counted = (
            f"(sum(limrank_documents_scored_total) >= {load.documents})"
            ' and on() (limrank_requests_rejected_total{reason="auth"} > 0)'
            " and on() (sum(limrank_requests_cancelled_total) > 0)"
        )
        # In every one of some evaluations in a row: the rules have seen it too.
        watching.wait_for(f"count_over_time(({counted})[4s:1s]) > 3")
        yield Release(server.url, f"http://{target}/metrics", load, watching)


def _filled_in(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def test_prometheus_counts_what_was_sent(release: Release) -> None:
    assert release.prometheus.query("sum(limrank_documents_scored_total)") == [release.load.documents]
    assert release.load.documents == sum(SIZES) + 4 * 2
    classes = "sum by (documents) (limrank_request_duration_seconds_count) > 0"
    assert len(release.prometheus.query(classes)) == len(SIZES)
    assert release.prometheus.query('limrank_requests_rejected_total{reason="auth"}') == [1]
    assert sum(release.prometheus.query("limrank_requests_cancelled_total")) == 1
    assert release.prometheus.query("limrank_documents_empty_total") == [1]
    assert release.prometheus.query("limrank_documents_truncated_total")[0] >= 1
    assert release.prometheus.query('sum(limrank_verdicts_total{mode="reasoning"})') == [2]


def test_every_metric_has_series(release: Release) -> None:
    asked = {
        (where, selector.name)
        for where, expression in panel_expressions() + rule_expressions()
        for selector in selectors(expression)
        if selector.name == "up" or not FOREIGN.fullmatch(selector.name)
    }
    assert len(asked) > 80
    assert release.prometheus.without_series(sorted(asked)) == []


def test_every_recording_rule_records_a_number(release: Release) -> None:
    recorded = [("rule", rule["record"]) for rule in rules() if "record" in rule]
    assert release.prometheus.without_series(recorded) == []


def test_every_panel_has_a_number_to_show(release: Release) -> None:
    ours = [
        (title, _filled_in(expression))
        for title, expression in panel_expressions()
        if not any(FOREIGN.fullmatch(selector.name) for selector in selectors(expression))
    ]
    assert len(ours) > 40
    assert release.prometheus.without_series(ours) == []


def test_prometheus_evaluates_every_rule_and_none_fires(release: Release) -> None:
    groups = release.prometheus.ask("rules")["groups"]
    evaluated = {
        rule["name"]: (rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]
    }
    assert set(evaluated) == {name for name, _ in rule_expressions()}
    assert set(evaluated.values()) == {("ok", "")}
    assert [alert for alert in release.prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"] == []


def test_the_autoscalers_get_their_number(release: Release) -> None:
    query = find(rendered("keda"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert release.prometheus.query(query) == [0]
    metric = find(rendered("hpa"), "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert release.prometheus.query(f'{metric}{{namespace="{NAMESPACE}"}}') == [0]
    assert max(release.prometheus.query(f"max_over_time({metric}[5m])")) > 0  # calls did wait


def test_the_recorded_numbers_are_those_of_the_load(release: Release) -> None:
    [cached] = release.prometheus.query("namespace_job:limrank_tokens_cached:ratio_rate5m")
    assert 0 < cached < 1
    [failed] = release.prometheus.query("namespace_job:limrank_requests_failed:ratio_rate5m")
    assert failed == 0
    p95 = release.prometheus.query("namespace_job_documents:limrank_request_duration_seconds:p95_rate5m")
    assert len([value for value in p95 if not math.isnan(value)]) == len(SIZES)


@pytest.mark.parametrize(("key", "checks"), [(KEY, 5), ("", 3)])
def test_helm_test_passes_on_the_release(release: Release, key: str, checks: int) -> None:
    done = _helm_test(release, API_KEY=key)
    assert done.returncode == 0, done
    assert done.stdout.count("ok: ") == checks


def test_helm_test_fails_on_a_release_that_is_not_as_it_should_be(release: Release) -> None:
    assert _helm_test(release, API_KEY="another").returncode != 0
    assert _helm_test(release, KEYS_NEEDED="false").returncode != 0
    assert _helm_test(release, METRICS_URL=f"{release.url}/metrics").returncode != 0


def test_metrics_are_on_their_own_port_alone(release: Release) -> None:
    assert httpx.get(f"{release.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 404
    assert httpx.get(release.metrics_url).status_code == 200


def _helm_test(release: Release, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script of the test pod, as the pod would run it."""
    surroundings = {"SERVICE_URL": release.url, "METRICS_URL": release.metrics_url, "KEYS_NEEDED": "true"} | variables
    command = [sys.executable, "-c", (CHART / "files" / "helm_test.py").read_text()]
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=PATIENCE, check=False)
