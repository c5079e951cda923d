from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from contract.reasoning import Status
from service.api.paths import RANKING_PATHS, RERANK_PATHS
from service.http.body_budget import BodyBudget
from service.lifecycle import Lifecycle, Phase
from service.ranking import Mode, Timings, Verdict
from service.telemetry.metrics import CALL_SECONDS, RERANK_ROUTES, SEVERAL_ROUTES, Metrics, size_class
from service.telemetry.metrics import SHAPES as SHAPE_LABELS
from service.wire.shape import SHAPES
from tests.fakes import ScriptedEngine
from tests.requirements_check import require
from tests.service.serving import WITH_KEY, guarded_service, serving

# Name -> type and labels, as the operating conventions list them.
SERIES = {
    "limrank_requests_total": ("counter", {"route", "shape", "code"}),
    "limrank_request_duration_seconds": ("histogram", {"route", "shape", "documents"}),
    "limrank_queue_wait_seconds": ("histogram", set()),
    "limrank_tokenize_seconds": ("histogram", set()),
    "limrank_inference_seconds": ("histogram", set()),
    "limrank_documents_per_request": ("histogram", set()),
    "limrank_document_tokens": ("histogram", set()),
    "limrank_reasoning_tokens": ("histogram", set()),
    "limrank_documents_scored_total": ("counter", set()),
    "limrank_documents_by_outcome_total": ("counter", {"outcome"}),
    "limrank_documents_by_stage_total": ("counter", {"stage"}),
    "limrank_documents_truncated_total": ("counter", set()),
    "limrank_documents_empty_total": ("counter", set()),
    "limrank_verdicts_total": ("counter", {"mode", "status"}),
    "limrank_requests_rejected_total": ("counter", {"reason"}),
    "limrank_requests_cancelled_total": ("counter", {"stage"}),
    "limrank_inflight_requests": ("gauge", set()),
    "limrank_queued_documents": ("gauge", set()),
    "limrank_running_documents": ("gauge", set()),
    "limrank_held_bytes": ("gauge", set()),
    "limrank_ready": ("gauge", set()),
    "limrank_keys": ("gauge", set()),
    "limrank_key_file_stale": ("gauge", set()),
    "limrank_key_file_errors_total": ("counter", set()),
    "limrank_score_cache_documents_total": ("counter", {"outcome"}),
    "limrank_score_cache_bytes": ("gauge", set()),
    "limrank_tokens_total": ("counter", {"kind"}),
    "limrank_adaptive_probes_total": ("counter", set()),
    "limrank_adaptive_rounds_total": ("counter", set()),
    "limrank_adaptive_undecided_total": ("counter", set()),
    "limrank_adaptive_saved_tokens_total": ("counter", set()),
    "limrank_relevance_score": ("histogram", set()),
    "limrank_label_mass": ("histogram", set()),
    "limrank_start_check_failed": ("gauge", set()),
    "limrank_model_info": ("gauge", {"model", "revision", "engine", "engine_version", "dtype", "device"}),
    "limrank_build_info": ("gauge", {"version", "python"}),
}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def verdict(index: int, status: Status = Status.COMPLETE, log_odds: float = 0.0) -> Verdict:
    return Verdict(
        index=index,
        log_odds=log_odds,
        status=status,
        reasoning=None,
        prompt_tokens=100,
        cached_tokens=40,
        reasoning_tokens=7,
        truncated=index == 0,
    )


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    value = metrics.registry.get_sample_value(name, labels)
    assert value is not None, f"{name} {labels} is not there"
    return value


def test_every_series_is_there_from_the_start_at_zero() -> None:
    text = Metrics().render()[0].decode()
    types = dict(re.findall(r"^# TYPE (limrank_\S+) (\S+)$", text, re.MULTILINE))
    assert types == {name: kind for name, (kind, _) in SERIES.items()}
    values = re.findall(r"^limrank_\S+ (\S+)$", text, re.MULTILINE)
    assert values
    assert {float(value) for value in values} == {0.0}
    assert "_created" not in text


@pytest.mark.parametrize(
    "line",
    [
        'limrank_requests_total{code="503",route="/v1/rerank",shape="cohere"} 0.0',
        'limrank_requests_total{code="200",route="/rerank",shape="tei"} 0.0',
        'limrank_requests_total{code="200",route="/v1/rerank",shape="voyage"} 0.0',
        'limrank_requests_total{code="200",route="/v1/ranking",shape="nim"} 0.0',
        'limrank_requests_rejected_total{reason="queue_full"} 0.0',
        'limrank_requests_rejected_total{reason="rate_limited"} 0.0',
        'limrank_requests_rejected_total{reason="cut"} 0.0',
        'limrank_requests_cancelled_total{stage="queued"} 0.0',
        'limrank_verdicts_total{mode="reasoning",status="end_of_text"} 0.0',
        'limrank_tokens_total{kind="cached"} 0.0',
        'limrank_verdicts_total{mode="adaptive",status="stopped_early"} 0.0',
        "limrank_adaptive_probes_total 0.0",
    ],
)
def test_a_rate_can_be_taken_of_the_first_event(line: str) -> None:
    assert line in Metrics().render()[0].decode().splitlines()


def test_an_answer_is_counted_in_documents_tokens_and_verdicts() -> None:
    metrics = Metrics()
    verdicts = [verdict(0), verdict(1, Status.BUDGET, log_odds=40.0), verdict(2, Status.BUDGET, log_odds=-800.0)]
    metrics.observe_answer(Mode.REASONING, verdicts, blank=1, timings=Timings(300, 100, 5, 200))
    assert sample(metrics, "limrank_documents_scored_total") == 3
    assert sample(metrics, "limrank_documents_truncated_total") == 1
    assert sample(metrics, "limrank_documents_empty_total") == 1
    assert sample(metrics, "limrank_verdicts_total", mode="reasoning", status="budget") == 2
    assert sample(metrics, "limrank_verdicts_total", mode="reasoning", status="complete") == 1
    assert sample(metrics, "limrank_tokens_total", kind="prompt") == 300
    assert sample(metrics, "limrank_tokens_total", kind="cached") == 120
    assert sample(metrics, "limrank_tokens_total", kind="reasoning") == 21
    assert sample(metrics, "limrank_document_tokens_sum") == 300
    assert sample(metrics, "limrank_reasoning_tokens_count") == 3
    assert sample(metrics, "limrank_queue_wait_seconds_sum") == pytest.approx(0.1)
    assert sample(metrics, "limrank_tokenize_seconds_sum") == pytest.approx(0.005)
    assert sample(metrics, "limrank_inference_seconds_sum") == pytest.approx(0.2)
    assert sample(metrics, "limrank_relevance_score_bucket", le="0.05") == 1
    assert sample(metrics, "limrank_relevance_score_bucket", le="0.5") == 2
    assert sample(metrics, "limrank_relevance_score_bucket", le="1.0") == 3


def test_direct_verdicts_have_no_trace_to_measure() -> None:
    metrics = Metrics()
    metrics.observe_answer(Mode.DIRECT, [verdict(0)], blank=0, timings=Timings(1, 0, 0, 1))
    assert sample(metrics, "limrank_reasoning_tokens_count") == 0


def test_durations_are_of_answers_and_by_size() -> None:
    metrics = Metrics()
    metrics.request_finished("/rerank", "cohere", 200, 0.4, 10)
    metrics.request_finished("/rerank", "cohere", 200, 9.9, 51)
    metrics.request_finished("/rerank", "cohere", 503, 0.001, 10)
    metrics.request_finished("other", "none", 404, 0.001, 0)
    assert (
        sample(metrics, "limrank_request_duration_seconds_count", route="/rerank", shape="cohere", documents="1-10")
        == 1
    )
    labels = {"route": "/rerank", "shape": "cohere", "documents": "51-200"}
    assert sample(metrics, "limrank_request_duration_seconds_bucket", **labels, le="10.0") == 1
    assert sample(metrics, "limrank_request_duration_seconds_bucket", **labels, le="7.5") == 0
    assert sample(metrics, "limrank_documents_per_request_count") == 3
    assert sample(metrics, "limrank_requests_total", route="other", shape="none", code="404") == 1


def test_edges_are_on_the_timeouts_of_clients() -> None:
    assert {5, 10, 30, 60} <= set(CALL_SECONDS)


@pytest.mark.parametrize(
    ("documents", "label"),
    [(1, "1-10"), (10, "1-10"), (11, "11-50"), (50, "11-50"), (200, "51-200"), (201, "201+"), (10**6, "201+")],
)
def test_size_classes(documents: int, label: str) -> None:
    assert size_class(documents) == label


def test_the_labels_are_those_of_the_routes_and_the_shapes() -> None:
    assert set(RERANK_ROUTES) == set(RERANK_PATHS)
    assert set(SHAPE_LABELS) == {shape.label for shape in SHAPES} | {"voyage", "none"} | set(SEVERAL_ROUTES.values())
    assert set(SEVERAL_ROUTES) == RANKING_PATHS - set(RERANK_PATHS)


def test_labels_stay_bounded_whatever_a_request_says() -> None:
    metrics = Metrics()
    for number in range(100):
        metrics.request_finished("other", f"shape-{number}", 200, 0.1, 1)
    assert sample(metrics, "limrank_requests_total", route="other", shape="none", code="200") == 100
    assert "shape-1" not in metrics.render()[0].decode()


class Counts:
    queued = 12
    running = 5


def test_state_is_read_when_asked_for() -> None:
    metrics, lifecycle = Metrics(), Lifecycle()
    bodies = BodyBudget(1000)
    metrics.follow(lifecycle, Counts(), bodies)
    assert sample(metrics, "limrank_ready") == 0
    lifecycle.phase = Phase.READY
    assert sample(metrics, "limrank_ready") == 1
    assert sample(metrics, "limrank_queued_documents") == 12
    assert sample(metrics, "limrank_running_documents") == 5
    hold = bodies.hold("a key")
    hold.reserve(700)
    assert sample(metrics, "limrank_held_bytes") == 700
    hold.release()
    assert sample(metrics, "limrank_held_bytes") == 0


def test_both_formats_can_be_parsed_and_hold_the_same() -> None:
    metrics = Metrics()
    metrics.request_finished("/rerank", "cohere", 200, 0.4, 10)
    plain, plain_type = metrics.render()
    openmetrics, openmetrics_type = metrics.render(OPENMETRICS)
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert openmetrics_type.startswith("application/openmetrics-text")
    assert openmetrics.endswith(b"# EOF\n")
    names = [
        {sample.name for family in parse(text.decode()) for sample in family.samples if "limrank" in sample.name}
        for parse, text in ((parse_text, plain), (parse_openmetrics, openmetrics))
    ]
    assert names[0] == names[1]
    assert len(names[0]) > len(SERIES)


def test_the_engine_s_own_series_stand_beside_ours_and_no_others() -> None:
    theirs = CollectorRegistry()
    Counter("vllm:prompt_tokens", "Tokens.", ["model_name"], registry=theirs).labels("m").inc(3)
    Counter("somebody_else", "Not the engine's.", registry=theirs).inc()
    metrics = Metrics()
    metrics.include_engine(theirs, "vllm:")
    for accept in ("", OPENMETRICS):
        body, content_type = metrics.render(accept)
        assert content_type.startswith("text/plain")
        lines = body.decode().splitlines()
        assert 'vllm:prompt_tokens_total{model_name="m"} 3.0' in lines
        assert "limrank_ready 0.0" in lines
        assert "somebody_else" not in body.decode()


def promtool(text: bytes) -> subprocess.CompletedProcess[bytes]:
    require("promtool", present=shutil.which("promtool") is not None, remedy="install Debian's package prometheus")
    return subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)


def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    """Of what a running service shows after calls of every kind, so that no series appears only later."""
    composition = guarded_service(tmp_path, ScriptedEngine(fail_always={"broken"}))
    with serving(composition.app) as url:
        for documents in (["a"], ["broken"], [], ["b"] * 60):
            httpx.post(f"{url}/v2/rerank", json={"query": "q", "documents": documents}, headers=WITH_KEY)
        httpx.post(f"{url}/rerank", json={"query": "q", "texts": ["a"]}, headers=WITH_KEY)
        shown = httpx.get(f"{url}/metrics").content
    assert b'limrank_requests_total{code="500",route="/v2/rerank",shape="cohere"} 1.0' in shown
    result = promtool(shown)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_promtool_would_have_found_something() -> None:
    assert promtool(b"# TYPE x counter\nx 1\n").returncode != 0
