"""A request that is wrong, or odd and allowed, what must come of it, and how that is checked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

GOOD = {"query": "red apple", "documents": ["a blue sky", "a red apple"]}
BODIES: dict[str, dict[str, Any]] = {
    "documents": GOOD,
    "texts": {"query": GOOD["query"], "texts": GOOD["documents"]},
    "passages": {"query": {"text": GOOD["query"]}, "passages": [{"text": text} for text in GOOD["documents"]]},
}
# What each field takes.
FIELDS = {
    "documents": {
        "query": "string",
        "documents": "list",
        "model": "string",
        "top_n": "number",
        "top_k": "number",
        "return_documents": "boolean",
        "rank_fields": "list",
        "max_tokens_per_doc": "number",
        "truncation": "boolean",
        "priority": "number",
        "mode": "string",
        "instruction": "string",
        "max_reasoning_tokens": "number",
        "return_reasoning": "boolean",
        "return_label_mass": "boolean",
        "reasoning_budget": "number",
        "return_probes": "number",
        "stream": "boolean",
        "long_documents": "string",
        "max_chunks_per_doc": "number",
        "relevant_spans": "object",
        "min_score": "share",
        "score_threshold": "share",
        "threshold": "share",
        "first_stage_scores": "list",
        "first_stage_ranks": "list",
        "first_stage_weight": "share",
    },
    "texts": {
        "query": "string",
        "texts": "list",
        "truncate": "boolean",
        "truncation_direction": "string",
        "raw_scores": "boolean",
        "return_text": "boolean",
        "top_n": "number",
        "first_stage_scores": "list",
        "first_stage_ranks": "list",
        "first_stage_weight": "share",
    },
    "passages": {
        "query": "object",
        "passages": "list",
        "model": "string",
        "truncate": "string",
        "top_n": "number",
        "top_k": "number",
        "first_stage_scores": "list",
        "first_stage_ranks": "list",
        "first_stage_weight": "share",
    },
}


@dataclass(frozen=True)
class Case:
    """A request and what must come of it. `body` None with `make` set: built when it is sent, since it is large.

    `says` are parts of the error message, `param` the field named; `results` the number of results of a 200.
    """

    name: str
    status: int
    body: bytes = b""
    says: tuple[str, ...] = ()
    param: str | None = None
    results: int | None = None
    path: str = "/rerank"
    headers: dict[str, str] = field(default_factory=dict)
    make: Callable[[], bytes] | None = None


def send(client: httpx.Client, case: Case) -> httpx.Response:
    content = case.body if case.make is None else case.make()
    return client.post(case.path, content=content, headers={"Content-Type": "application/json", **case.headers})


def check(client: httpx.Client, case: Case) -> None:
    """Send `case`, compare, and see that the next good request works."""
    answer = send(client, case)
    assert answer.status_code == case.status, answer.text[:500]
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    body = json.loads(answer.text.rpartition("data: ")[2]) if streamed else answer.json()
    if case.status == 200:
        results = body if isinstance(body, list) else body["rankings"] if "rankings" in body else body["results"]
        assert len(results) == case.results
    elif "error_type" in body:
        _check_message(case, body["error"])
    else:
        _check_message(case, body["message"])
        assert body["detail"] == body["error"]["message"] == body["message"]
        assert body["error"]["param"] == case.param
    good = client.post("/rerank", json=GOOD)
    assert good.status_code == 200
    assert sorted(result["index"] for result in good.json()["results"]) == [0, 1]


def _check_message(case: Case, message: str) -> None:
    for part in case.says or ((case.param,) if case.param else ()):
        assert part in message
    assert message.endswith(".")
    assert len(message) < 400


def dumped(body: Any) -> bytes:
    return json.dumps(body).encode()


def body_with(shape: str = "documents", /, **fields: Any) -> bytes:
    return dumped({**BODIES[shape], **fields})
