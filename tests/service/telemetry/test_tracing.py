from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import SpanContext, TraceFlags, TraceState, get_current_span

from service.telemetry.openinference import MOST_CHARACTERS, MOST_DOCUMENTS
from service.telemetry.tracing import _EXPORT_TIMEOUT_SECONDS, NO_SPAN, RequestTracer, caller_context, trace_id_of
from tests.fakes import ScriptedEngine
from tests.service.serving import WITH_KEY, guarded_service, serving
from tests.service.telemetry.collector import attributes_of, collecting
from tests.waiting import PATIENCE

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
BODY = {"query": "glacier", "documents": ["a private glacier", "bread", "yeast"]}
hexadecimal = "0123456789abcdef"


def caller(traceparent: str, tracestate: str = "") -> SpanContext | None:
    """The caller's span, or None where the header is not valid."""
    context = get_current_span(caller_context(traceparent, tracestate)).get_span_context()
    return context if context.is_valid else None


def traced_calls(folder: Path, headers: list[dict[str, str]], **settings: object) -> list[list[ProtoSpan]]:
    """The spans of each call, the request's first; the server is stopped in between, which flushes them."""
    with collecting() as collector:
        composition = guarded_service(folder, ScriptedEngine(seconds=0.01), otlp_endpoint=collector.url, **settings)
        with serving(composition.app) as url, httpx.Client(base_url=url) as client:
            for each in headers:
                client.post("/v1/rerank", json=BODY, headers=WITH_KEY | each)
        spans = collector.wait(3 * len(headers))
        assert set(collector.paths) == {"/v1/traces"}
        assert collector.resources[0]["service.name"] == "limrank"
    requests = sorted(
        (span for span in spans if span.kind == ProtoSpan.SPAN_KIND_SERVER), key=lambda s: s.start_time_unix_nano
    )
    return [[request, *(s for s in spans if s.parent_span_id == request.span_id)] for request in requests]


def test_a_call_is_a_child_of_its_caller_and_has_its_phases(tmp_path: Path) -> None:
    header = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1", "X-Request-Id": "call-1"}
    before = time.time_ns()
    ((request, *phases),) = traced_calls(tmp_path, [header])
    after = time.time_ns()
    assert request.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == PARENT
    assert request.trace_state == "vendor=1"
    assert request.name == "POST /v1/rerank"
    assert attributes_of(list(request.attributes)) == {
        "http.request.method": "POST",
        "http.route": "/v1/rerank",
        "http.response.status_code": 200,
        "limrank.shape": "cohere",
        "limrank.documents": 3,
        "limrank.request_id": "call-1",
    } | openinference_of(request)
    queue, inference = sorted(phases, key=lambda span: span.name == "inference")
    assert (queue.name, inference.name) == ("queue", "inference")
    assert {queue.trace_id, inference.trace_id} == {request.trace_id}
    assert before < request.start_time_unix_nano <= queue.start_time_unix_nano <= queue.end_time_unix_nano
    assert abs(queue.end_time_unix_nano - inference.start_time_unix_nano) < 1e6
    assert inference.end_time_unix_nano - inference.start_time_unix_nano > 25e6  # three documents of 10 ms each
    assert inference.end_time_unix_nano <= request.end_time_unix_nano < after


def openinference_of(span: ProtoSpan) -> dict[str, object]:
    names = ("openinference.", "reranker.")
    return {name: value for name, value in attributes_of(list(span.attributes)).items() if name.startswith(names)}


def test_a_call_is_described_as_openinference_has_it(tmp_path: Path) -> None:
    ((request, *_),) = traced_calls(tmp_path, [{}])
    scores = [1 / (1 + math.exp(-log_odds)) for log_odds in (0, -1, -1)]  # of `by_word_overlap`
    assert openinference_of(request) == {
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "scripted",
        **{f"reranker.output_documents.{place}.document.id": str(place) for place in range(3)},
        **{f"reranker.output_documents.{place}.document.score": pytest.approx(scores[place]) for place in range(3)},
    }
    assert "glacier" not in str(request), "no text unless it may be logged"


def test_texts_are_described_only_where_they_may_be_logged(tmp_path: Path) -> None:
    ((request, *_),) = traced_calls(tmp_path, [{}], log_texts=True)
    described = openinference_of(request)
    assert described["reranker.query"] == "glacier"
    for side in ("input", "output"):
        contents = [described[f"reranker.{side}_documents.{place}.document.content"] for place in range(3)]
        assert contents == BODY["documents"]
    assert "reranker.input_documents.0.document.score" not in described


def test_a_call_that_failed_is_one_of_a_reranker_too(tmp_path: Path) -> None:
    with collecting() as collector:
        composition = guarded_service(tmp_path, ScriptedEngine(fail_always={"bread"}), otlp_endpoint=collector.url)
        with serving(composition.app) as url:
            httpx.post(f"{url}/v1/rerank", json=BODY | {"top_n": 2}, headers=WITH_KEY)
            httpx.get(f"{url}/info", headers=WITH_KEY)
        failed, other = sorted(collector.wait(2), key=lambda span: span.start_time_unix_nano)
    assert openinference_of(failed) == {"openinference.span.kind": "RERANKER", "reranker.top_k": 2}
    assert openinference_of(other) == {}


BATCH = {"requests": [{"query": "bread", "documents": ["bread", "ice"]}, {}, BODY | {"top_n": 1}]}
STREAMED = {"Accept": "application/x-ndjson"}
DECISIONS = {
    "model": "scripted",
    "input": "a private glacier",
    "questions": [{"type": "predicate", "instructions": text} for text in ("glacier", "bread")],
}
SYSTEM_ONE = {
    "model": "scripted",
    "state": "a private glacier",
    "questions": {"x": {"type": "noul", "instructions": "y"}},
}


def described(folder: Path, *bodies: tuple[str, object], headers: dict[str, str] | None = None, **settings: Any) -> Any:
    """The OpenInference attributes of each call, and its status."""
    engine = ScriptedEngine(fail_always={"poison"})
    with collecting() as collector:
        composition = guarded_service(folder, engine, otlp_endpoint=collector.url, **settings)
        with serving(composition.app) as url, httpx.Client(base_url=url, headers=WITH_KEY | (headers or {})) as client:
            statuses = [client.post(path, json=body).status_code for path, body in bodies]
        collector.wait(len(bodies))
    spans = [span for span in collector.spans if span.kind == ProtoSpan.SPAN_KIND_SERVER]
    assert not any(span.dropped_attributes_count for span in spans)
    found = [openinference_of(span) for span in sorted(spans, key=lambda span: span.start_time_unix_nano)]
    return list(zip(statuses, found, strict=True))


@pytest.mark.parametrize("texts", [False, True])
def test_a_batch_is_described_with_its_requests_by_their_places(tmp_path: Path, texts: bool) -> None:
    ((status, found),) = described(tmp_path, ("/v1/rerank/batch", BATCH), log_texts=texts)
    assert status == 200
    assert (found["openinference.span.kind"], found["reranker.model_name"]) == ("RERANKER", "scripted")
    assert "reranker.top_k" not in found, "the requests differ in it"
    output = {name: value for name, value in found.items() if name.startswith("reranker.output_documents.")}
    assert [value for name, value in output.items() if name.endswith(".id")] == ["0.0", "0.1", "2.0"]
    assert [value for name, value in output.items() if name.endswith(".score")] == pytest.approx(
        [0.5, 0.2689, 0.5], rel=1e-3
    )
    contents = [value for name, value in output.items() if name.endswith(".content")]
    if texts:
        assert found["reranker.query"] == "bread\nglacier"
        assert contents == ["bread", "ice", "a private glacier"]
        sent = [found[f"reranker.input_documents.{place}.document.id"] for place in range(5)]
        assert sent == ["0.0", "0.1", "2.0", "2.1", "2.2"]
    else:
        assert not any(text in str(found) for text in ("glacier", "bread", "ice", "input", "query"))


def test_of_a_large_batch_as_many_documents_are_described_of_each_request(tmp_path: Path) -> None:
    one = {"query": "q" * 9000, "documents": ["text " * 9000] * 30, "top_n": 25}
    few, many = described(
        tmp_path,
        ("/v1/rerank/batch", {"requests": [one] * 4}),
        ("/v1/rerank/batch", {"requests": [{"query": "q", "documents": ["a", "b"]}] * 30}),
        log_texts=True,
    )
    for (status, found), ids in (
        (few, [f"{place}.{index}" for place in range(4) for index in range(5)]),
        (many, [f"{place}.0" for place in range(MOST_DOCUMENTS)]),
    ):
        assert status == 200
        for side in ("input", "output"):
            assert [found[f"reranker.{side}_documents.{place}.document.id"] for place in range(MOST_DOCUMENTS)] == ids
        assert max(len(str(value)) for value in found.values()) <= MOST_CHARACTERS
    assert few[1]["reranker.top_k"] == 25


@pytest.mark.parametrize("texts", [False, True])
def test_decisions_are_calls_of_a_reranker_too(tmp_path: Path, texts: bool) -> None:
    found = described(tmp_path, ("/v1/decisions", DECISIONS), ("/v1/systemone", SYSTEM_ONE), log_texts=texts)
    for (status, one), questions in zip(found, (["0.0", "1.0"], ["0.0"]), strict=True):
        assert status == 200
        assert one["openinference.span.kind"] == "RERANKER"
        ids = [one[f"reranker.output_documents.{place}.document.id"] for place in range(len(questions))]
        assert ids == questions
        assert (one.get("reranker.output_documents.0.document.content") == "a private glacier") is texts
    assert (found[0][1].get("reranker.query") == "glacier\nbread") is texts
    assert ("glacier" in str(found)) is texts


def test_a_batch_that_failed_in_part_or_as_a_whole(tmp_path: Path) -> None:
    poisoned = {"query": "q", "documents": ["poison"], "top_n": 1}
    fine = {"query": "q", "documents": ["a"], "top_n": 1}
    part, all_, limited, wrong = described(
        tmp_path,
        ("/v1/rerank/batch", {"requests": [poisoned, fine]}),
        ("/v1/decisions", DECISIONS | {"input": "poison"}),
        ("/v1/rerank/batch", {"requests": [fine] * 9}),
        ("/v1/rerank/batch", {"requests": []}),
        documents_per_minute=8,
    )
    assert part[0] == 200
    assert part[1]["reranker.output_documents.0.document.id"] == "1.0"
    assert all_ == (500, {"openinference.span.kind": "RERANKER"})
    assert limited == (413, {"openinference.span.kind": "RERANKER", "reranker.top_k": 1})
    assert wrong == (400, {})


def test_a_streamed_call_is_described_as_the_ordinary_one(tmp_path: Path) -> None:
    bodies = [("/v1/rerank", BODY), ("/v1/rerank", BODY | {"documents": ["glacier", "poison"]})]
    (whole, ordinary), (cut, failed) = described(tmp_path, *bodies, headers=STREAMED, log_texts=True)
    assert (whole, cut) == (200, 200)
    plain = described(tmp_path, bodies[0], log_texts=True)
    assert plain == [(200, ordinary)]
    assert failed["reranker.query"] == "glacier"
    assert not any(name.startswith("reranker.output") for name in failed)


def test_a_large_call_leaves_room_for_the_other_attributes(tmp_path: Path) -> None:
    with collecting() as collector:
        composition = guarded_service(tmp_path, otlp_endpoint=collector.url, log_texts=True)
        with serving(composition.app) as url:
            body = {"query": "q" * 9000, "documents": [f"{number} " + "text " * 9000 for number in range(300)]}
            assert httpx.post(f"{url}/v1/rerank", json=body, headers=WITH_KEY).status_code == 200
        [request] = [span for span in collector.wait(3) if span.kind == ProtoSpan.SPAN_KIND_SERVER]
    described = attributes_of(list(request.attributes))
    assert described["limrank.documents"] == 300
    assert described["openinference.span.kind"] == "RERANKER"
    assert request.dropped_attributes_count == 0
    assert max(len(str(value)) for value in described.values()) == MOST_CHARACTERS
    assert f"reranker.output_documents.{MOST_DOCUMENTS - 1}.document.score" in described


def test_a_call_without_a_valid_parent_begins_a_trace(tmp_path: Path) -> None:
    calls = traced_calls(tmp_path, [{}, {"traceparent": "not one"}])
    assert [call[0].parent_span_id for call in calls] == [b"", b""]
    assert len({call[0].trace_id for call in calls}) == 2
    assert all(len(call) == 3 for call in calls)


def test_the_caller_s_decision_goes_before_the_ratio(tmp_path: Path) -> None:
    with collecting() as collector:
        composition = guarded_service(tmp_path, otlp_endpoint=collector.url, trace_sample_ratio=0)
        with serving(composition.app) as url:
            for flags in ("00", "01", None):
                header = {} if flags is None else {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
                httpx.post(f"{url}/v1/rerank", json=BODY, headers=WITH_KEY | header)
        assert len(collector.wait(3)) == 3
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE}


def test_a_failure_of_ours_is_an_error_and_one_of_the_caller_s_is_not(tmp_path: Path) -> None:
    with collecting() as collector:
        composition = guarded_service(tmp_path, ScriptedEngine(fail_always={"bread"}), otlp_endpoint=collector.url)
        with serving(composition.app) as url:
            httpx.post(f"{url}/v1/rerank", json=BODY, headers=WITH_KEY)
            httpx.post(f"{url}/rerank", json={"query": "q", "texts": ["bread"]}, headers=WITH_KEY)
            httpx.post(f"{url}/v1/rerank", json={}, headers=WITH_KEY)
            httpx.post(f"{url}/v1/rerank", json=BODY)
            httpx.get(f"{url}/health/live")
        spans = {attributes_of(list(span.attributes))["http.response.status_code"]: span for span in collector.wait(4)}
        assert len(collector.spans) == 4
    assert set(spans) == {400, 401, 424, 500}
    failed = {code for code, span in spans.items() if span.status.code == Status.STATUS_CODE_ERROR}
    assert failed == {424, 500}, "424 is TEI's 500"
    assert attributes_of(list(spans[500].attributes))["error.type"] == "engine_failed"
    assert not any("private" in str(span) for span in spans.values())


def test_a_collector_that_is_down_costs_no_call_and_holds_up_no_stop(tmp_path: Path) -> None:
    """For no longer than a batch of spans may take to be sent, once for what is sent and once for what is left."""
    usual, with_spans = (stopping(tmp_path, endpoint) for endpoint in (None, "http://127.0.0.1:9"))
    assert with_spans < 10 * usual + 2 * _EXPORT_TIMEOUT_SECONDS


def stopping(folder: Path, endpoint: str | None) -> float:
    """Seconds that a server takes to stop after a call."""
    with serving(guarded_service(folder, otlp_endpoint=endpoint).app) as url:
        assert httpx.post(f"{url}/v1/rerank", json=BODY, headers=WITH_KEY).status_code == 200
        begun = time.monotonic()
    return time.monotonic() - begun


def test_without_an_endpoint_neither_the_sdk_nor_the_exporter_is_imported() -> None:
    code = (
        "import sys, service.api.app\n"
        "from service.telemetry.tracing import RequestTracer, caller_context\n"
        "RequestTracer().start('x', caller_context(''))\n"
        "parts = ('opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.proto', 'opentelemetry.propagate')\n"
        "print([name for name in sys.modules if name.startswith(parts)])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert result.stdout.strip() == "[]"


def test_the_caller_s_trace_is_known_without_an_exporter() -> None:
    assert trace_id_of(RequestTracer().start("x", caller_context(f"00-{TRACE}-{PARENT}-00"))) == TRACE
    assert trace_id_of(RequestTracer().start("x", caller_context(""))) is None
    assert trace_id_of(NO_SPAN) is None


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-01-more", False),
        (f"cc-{TRACE}-{PARENT}-01.more", False),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}", False),
        (f" 00-{TRACE}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}-01\n", False),
        ("", False),
    ],
)
def test_traceparent_is_read_as_the_standard_says(header: str, valid: bool) -> None:
    assert (caller(header) is not None) == valid


@given(
    st.text(hexadecimal, min_size=32, max_size=32).filter(lambda text: set(text) != {"0"}),
    st.text(hexadecimal, min_size=16, max_size=16).filter(lambda text: set(text) != {"0"}),
    st.integers(0, 255),
)
def test_a_valid_traceparent_comes_out_whole(trace: str, span: str, flags: int) -> None:
    expected = SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(flags), TraceState([("a", "b")]))
    assert caller(f"00-{trace}-{span}-{flags:02x}", "a=b") == expected


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{30,34}-[0-9a-f]{14,18}-[0-9a-f]{1,3}", fullmatch=True))
def test_any_text_is_a_context_of_the_right_lengths_or_none(header: str) -> None:
    context = caller(header)
    if context is not None:
        assert re.fullmatch("[0-9a-f]{32}", f"{context.trace_id:032x}")
        assert re.fullmatch("[0-9a-f]{16}", f"{context.span_id:016x}")
        assert 0 <= context.trace_flags <= 255


def test_a_trace_state_beyond_all_bounds_stops_no_call(tmp_path: Path) -> None:
    state = ",".join(f"vendor{number}=x" for number in range(500)) + ",=,;,"
    header = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": state}
    ((request, *_),) = traced_calls(tmp_path, [header])
    assert request.trace_id.hex() == TRACE
    assert len(json.dumps(request.trace_state)) < len(state)
