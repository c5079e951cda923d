"""The rules and the dashboard, by promtool and against the names the service really exposes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.metrics import Metrics
from tests.helm.chart import CHART, HERE, ROOT, find, rendered, require_helm, require_prometheus
from tests.helm.promql import (
    DASHBOARD,
    FOREIGN,
    RULE_FILES,
    Selector,
    panel_expressions,
    panels,
    rule_expressions,
    rules,
    selectors,
)
from tests.waiting import PATIENCE

UNIT_TESTS = sorted((HERE / "rules").glob("*.yaml"))
PAGE = ROOT / "docs" / "operations.md"
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    require_prometheus("promtool")
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_unit_tests_say(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules_as_the_chart_renders_them(tmp_path: Path) -> None:
    require_helm()
    spec = find(rendered("monitoring"), "PrometheusRule")["spec"]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(spec))
    assert promtool("check", "rules", path).returncode == 0
    alerts = {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule}
    assert set(alerts) == set(ALERTS) - {"LimrankScoresDrift"}
    for name, rule in alerts.items():
        expected = ALERTS[name]["annotations"] | {
            "runbook_url": f"https://wiki.example.com/limrank#{_anchor(ALERTS[name])}",
        }
        own = {"for": "2400s"} if name == "LimrankReplicaDown" else {}  # this release's budget for a start
        assert rule == ALERTS[name] | {"annotations": expected} | own  # the {{ }} of Prometheus among it, untouched


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_was_seen_to_fire_and_to_keep_still(alert: str) -> None:
    seen = [
        case
        for path in UNIT_TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert
    ]
    assert [case for case in seen if case["exp_alerts"]], "never fires in a test"
    assert [case for case in seen if not case["exp_alerts"]], "never keeps still in a test"


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_section_in_the_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{_anchor(rule)}"
    headings = re.findall(r"^#+ (.+)$", PAGE.read_text(), re.MULTILINE)
    assert _anchor(rule) in [_slug(heading) for heading in headings]
    section = PAGE.read_text().split(f"### Alert: {_anchor(rule).removeprefix('alert-').replace('-', ' ')}\n")[1]
    assert f"`{alert}`" in section.split("\n### ")[0]


def _anchor(rule: dict[str, Any]) -> str:
    return str(rule["annotations"]["runbook_url"]).partition("#")[2]


def _slug(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def exposed() -> dict[str, list[dict[str, str]]]:
    """The labels of every series the service shows before its first call, by name."""
    text = Metrics().render()[0].decode()
    series: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        series.setdefault(family.name, [])
        for sample in family.samples:
            series.setdefault(sample.name, []).append(dict(sample.labels))
    return series


# Named series that exist only once a model is loaded.
LATER = {"limrank_model_info"}


@pytest.mark.parametrize(
    ("where", "expression"),
    rule_expressions() + panel_expressions(),
)
def test_every_selector_finds_a_series_the_service_shows_from_the_start(where: str, expression: str) -> None:
    series = exposed()
    found = selectors(expression)
    assert found, where
    for selector in found:
        if FOREIGN.fullmatch(selector.name):
            continue
        if ":" in selector.name:
            assert selector.name in RECORDED, (where, selector)
            continue
        assert selector.name in series, (where, selector)
        assert selector.name in LATER or any(map(selector.finds, series[selector.name])), (where, selector)


def test_autoscalers_ask_for_a_metric_of_the_service() -> None:
    require_helm()
    [pods, _] = find(rendered("hpa"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    [selector] = selectors(find(rendered("keda"), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"])
    assert pods["pods"]["metric"]["name"] == selector.name == "limrank_queued_documents"
    assert selector.name in exposed()


def test_selectors_are_found_in_promql() -> None:
    """The reader of expressions itself, on all the forms in use."""
    text = (
        'histogram_quantile(0.9, sum by (le) (rate(a_b{x="y}", z=~"1|2"}[5m]))) / on (job) c:d:e offset 1d and up == 0'
    )
    assert selectors(text) == [
        Selector("a_b", (("x", "=", "y}"), ("z", "=~", "1|2"))),
        Selector("c:d:e", ()),
        Selector("up", ()),
    ]
    assert not Selector("a", (("x", "=", "typo"),)).finds({"x": "y"})
    assert Selector("a", (("x", "!~", "5.."), ("job", "=", "j"))).finds({"x": "404"})


def test_the_dashboard_covers_what_it_promises() -> None:
    names = {selector.name for _, expression in panel_expressions() for selector in selectors(expression)}
    assert {
        "limrank_requests_total",
        "limrank_request_duration_seconds_bucket",
        "limrank_queue_wait_seconds_bucket",
        "limrank_tokenize_seconds_bucket",
        "limrank_inference_seconds_bucket",
        "limrank_queued_documents",
        "limrank_documents_scored_total",
        "limrank_tokens_total",
        "limrank_score_cache_documents_total",
        "limrank_verdicts_total",
        "limrank_documents_by_outcome_total",
        "limrank_documents_by_stage_total",
        "limrank_adaptive_probes_total",
        "limrank_adaptive_saved_tokens_total",
        "limrank_requests_rejected_total",
        "DCGM_FI_DEV_GPU_UTIL",
    } <= names


@pytest.mark.parametrize(("hits", "misses", "rate"), [(30, 10, 0.75), (0, 5, 0), (0, 0, 0)])
def test_the_hit_rate_of_the_cache_of_scores(hits: int, misses: int, rate: float, tmp_path: Path) -> None:
    """Over two replicas of the same load; where the cache is off nothing is looked up."""
    [expression] = [expression for title, expression in panel_expressions() if title == "Known scores"]
    for variable, value in (("$__rate_interval", "5m"), ("$namespace", ".*"), ("$job", "j"), ("$instance", ".+")):
        expression = expression.replace(variable, value)
    name = "limrank_score_cache_documents_total"
    series = [
        {
            "series": f'{name}{{outcome="{outcome}",namespace="n",job="j",instance="{one}"}}',
            "values": f"0+{count}x10",
        }
        for outcome, count in (("hit", hits), ("miss", misses))
        for one in ("a", "b")
    ]
    wanted = {
        "expr": f"round({expression}, 0.01)",
        "eval_time": "10m",
        "exp_samples": [{"labels": "{}", "value": rate}],
    }
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [wanted]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    done = promtool("test", "rules", tmp_path / "test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_of_others_stand_only_in_the_optional_row() -> None:
    for panel in panels():
        names = {selector.name for target in panel["targets"] for selector in selectors(target["expr"])}
        foreign = {name for name in names if FOREIGN.fullmatch(name)}
        assert foreign in (set(), names)
        assert ("optional" in panel["row"]) == bool(foreign), panel["title"]


def test_the_dashboard_is_one_grafana_can_load() -> None:
    """Ids are unique, panels do not overlap, every query has a legend and a data source that is a variable."""
    dashboard = json.loads(DASHBOARD.read_text())
    every = [*dashboard["panels"], *(inner for row in dashboard["panels"] for inner in row.get("panels", []))]
    assert len({panel["id"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["legendFormat"]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "namespace", "job", "instance"}
    used = {name for _, expression in panel_expressions() for name in re.findall(r"\$(\w+)", expression)}
    assert used <= variables | {"__rate_interval"}
    assert (CHART / "files" / "dashboards").exists()


def test_the_chart_ships_the_dashboard() -> None:
    require_helm()
    config = find(rendered("monitoring"), "ConfigMap", "rel-limrank-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["limrank.json"]) == json.loads(DASHBOARD.read_text())
