"""docs/operations.md says of each bound what the code has: numbers, settings and their defaults."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import yaml
from pydantic import ByteSize

from service.api import body, keys
from service.api.paths import METRICS_PATH, PROBE_PATHS
from service.http import body_budget, connections, limits, protocol
from service.http.limits import MEBIBYTE, HttpLimits
from service.scheduling import shares
from service.scheduling.watchdog import WatchIntervals
from service.settings import Settings
from tests.processes import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
VALUES = yaml.safe_load((ROOT / "helm" / "limrank" / "values.yaml").read_text())
HTTP = HttpLimits()
FLAG = re.compile(r"`--([a-z-]+)`")


def table(heading: str) -> list[dict[str, str]]:
    """The rows of the table whose head begins so, by the names of its columns."""
    lines = PAGE[PAGE.index(heading) :].partition("\n\n")[0].splitlines()
    names, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(names, row, strict=True)) for row in rows]


BOUNDS = {row["what"]: row for row in table("| what | bound | setting | default |")}


def shown(value: Any) -> str:
    """A default as the page writes it."""
    if isinstance(value, ByteSize):
        return f"{value / MEBIBYTE:g} MiB"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


# Numbers that no setting changes, by the row that states them.
FIXED = {
    "a request's head": f"{HTTP.head_bytes // 1024} KiB, {HTTP.head_fields} fields, {HTTP.head_seconds:g} s",
    "a connection without a request": f"{HTTP.head_seconds:g} s for the first, {HTTP.idle_seconds:g} s between two",
    "connections": f"a reserve of at most {connections._MOST_RESERVE} still answers probes, and gives all else "
    f"{HTTP.reserve_head_seconds:g} s for a head",
    "a body in chunks": f"400 beyond {HTTP.chunks:,} chunks of fewer than {HTTP.chunk_bytes} bytes on average; behind "
    f"an early refusal no more than {protocol._MOST_DROPPED_IN_CHUNKS // 1024} KiB",
    "the time of a body": f"after {body._IDLE_SECONDS:g} s without a byte",
    "what is dropped of a body behind an early refusal": f"{shown(ByteSize(HTTP.drain_bytes))}, "
    f"{HTTP.drain_seconds:g} s",
    "an answer that nobody reads": f"{HTTP.write_seconds:g} s without a byte taken",
    "a key file on a disk that does not answer": f"calls wait {keys._PATIENCE_SECONDS:g} s",
}


@pytest.mark.parametrize("what", FIXED)
def test_what_is_fixed_is_stated_as_it_is(what: str) -> None:
    assert FIXED[what] in BOUNDS[what]["bound"]


def test_half_is_the_share_of_a_key() -> None:
    assert body_budget._SHARE == shares._SHARE == 0.5
    for what in ("bodies held at once, until their answers are sent", "documents queued"):
        assert "of one key half of it" in BOUNDS[what]["bound"]


@pytest.mark.parametrize("what", [what for what, row in BOUNDS.items() if FLAG.search(row["setting"])])
def test_each_default_is_the_setting_s(what: str) -> None:
    row = BOUNDS[what]
    [flag] = FLAG.findall(row["setting"])
    name = flag.replace("-", "_")
    value = getattr(Settings(), name)
    if name == "max_connections":
        assert row["default"] == f"by the limit of open files, at most {limits._MOST_CONNECTIONS:,}"
    elif name == "request_timeout_seconds":
        chart = VALUES["limits"]["requestTimeoutSeconds"]
        assert row["default"] == f"{shown(value)} s; {shown(chart)} s in the chart"
    elif name.endswith("_seconds"):
        assert row["default"] == f"{shown(value)} s"
    else:
        assert row["default"] == (shown(value) if value else "none")


def test_every_row_is_fixed_or_has_a_setting_and_every_limit_has_a_row() -> None:
    assert {row["setting"] for row in BOUNDS.values() if not FLAG.search(row["setting"])} == {"fixed"}
    stated = {flag.replace("-", "_") for row in BOUNDS.values() for flag in FLAG.findall(row["setting"])}
    bounded = {name for name in Settings.model_fields if name.startswith("max_") and "num_" not in name}
    elsewhere = {"max_model_len", "max_reasoning_tokens", "max_tokens_per_doc"}  # of the model and its scoring
    assert bounded - elsewhere <= stated
    assert stated <= set(Settings.model_fields)


def test_every_fixed_bound_of_a_connection_is_on_the_page() -> None:
    """A new one fails here: give it a line."""
    assert {field.name for field in dataclasses.fields(HttpLimits)} == {
        *("head_bytes", "head_fields", "head_seconds", "idle_seconds", "chunks", "chunk_bytes"),
        *("drain_bytes", "drain_seconds", "write_seconds", "reserve_head_seconds"),
    }


def test_the_steps_of_a_stop_are_the_chart_s() -> None:
    steps = {row["Step"]: row for row in table("| Step | Value | Default | Meanwhile |")}
    total = 10.0  # for closing, which the chart counts too
    for row in steps.values():
        if path := re.fullmatch(r"`(\w+)\.(\w+)`", row["Value"]):
            value = VALUES[path[1]][path[2]]
            assert row["Default"] == f"{value} s"
            total += value
    assert steps["closing"]["Default"] == "up to 10 s"
    grace = VALUES["terminationGracePeriodSeconds"]
    assert f"`terminationGracePeriodSeconds` ({grace} s) must be at least the sum of all four" in PAGE
    assert total <= grace


def test_probes_that_need_no_key_are_named() -> None:
    without_a_key = table("| From | Port | Gets |")[0]["Gets"]
    for path in PROBE_PATHS - {METRICS_PATH}:
        assert f"`{path}`" in without_a_key
    assert f"(`metrics.port`, default {VALUES['metrics']['port']})" in PAGE


@pytest.mark.parametrize(
    "sentence",
    [
        f"does not score a tiny document within {WatchIntervals().probe_timeout:g} s counts as stuck",
        f"`engine.vllm.gpuMemoryUtilization` ({VALUES['engine']['vllm']['gpuMemoryUtilization']})",
        f"User {VALUES['podSecurityContext']['runAsUser']} without rights",
        "30 minutes by default",
        "(one pod every two minutes after ten quiet minutes, `autoscaling.behavior`",
        "read again within a second of its change",
    ],
)
def test_a_number_in_a_sentence_is_the_code_s(sentence: str) -> None:
    assert " ".join(sentence.split()) in " ".join(PAGE.split())


def test_the_words_for_those_numbers() -> None:
    probe = VALUES["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 30 * 60
    down = VALUES["autoscaling"]["behavior"]["scaleDown"]
    assert (down["stabilizationWindowSeconds"], down["policies"]) == (
        600,
        [{"type": "Pods", "value": 1, "periodSeconds": 120}],
    )
    assert keys._SECONDS_BETWEEN_CHECKS == 1.0
