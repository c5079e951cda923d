"""Streamed calls over HTTP on the real vLLM: verdicts and reasoning as they come, and work freed by who leaves."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.processes import ServerProcess
from tests.service.api.streams.reading import EVENTS, LINES, arriving, of, read, without_moment
from tests.service.engines.vllm.scripted_traces import marker
from tests.waiting import PATIENCE

QUERY = "how is influenza treated"
DOCUMENTS = [f"Rest and fluids {n}. {marker(name)}" for n, name in enumerate(("closed", "closing", "looping"))]
REASONING: dict[str, Any] = {
    "query": QUERY,
    "documents": DOCUMENTS,
    "mode": "reasoning",
    "return_reasoning": True,
    "max_reasoning_tokens": 120,
}


def stream(running: ServerProcess, body: dict[str, Any], headers: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    return read(httpx.post(f"{running.url}/rerank", json=body, headers=headers, timeout=PATIENCE))


def scores(answer: dict[str, Any]) -> dict[int, float]:
    return {result["index"]: result["relevance_score"] for result in answer["results"]}


@pytest.mark.parametrize("headers", [LINES, EVENTS])
def test_a_direct_stream_tells_each_verdict_and_ends_with_the_answer(
    running: ServerProcess, headers: dict[str, str]
) -> None:
    body = {"query": QUERY, "documents": [f"Rest, fluids and a drug {n}." for n in range(30)]}
    events = stream(running, body, headers)
    name, answer = events[-1]
    assert name == "done"
    assert {name for name, _ in events[:-1]} == {"document"}
    told = {event["index"]: event["relevance_score"] for event in of("document", events)}
    assert told == scores(answer)
    assert len(events) == 31
    plain = running.rerank(body).json()
    assert scores(plain) == pytest.approx(scores(answer), abs=1e-3)


def test_reasoning_arrives_in_pieces_that_make_the_whole(running: ServerProcess) -> None:
    events = stream(running, REASONING, LINES)
    answer = events[-1][1]
    texts = dict.fromkeys(range(3), "")
    for piece in of("reasoning", events):
        assert piece["offset"] == len(texts[piece["index"]])
        texts[piece["index"]] += piece["text"]
    whole = {result["index"]: result["reasoning"] for result in answer["results"]}
    assert [whole[n]["status"] for n in range(3)] == ["complete", "complete", "repetition"]
    for index, text in texts.items():
        assert text, "each trace was told before its verdict"
        assert whole[index]["text"].startswith(text.rstrip())
    assert len(of("reasoning", events)) > len(DOCUMENTS)
    assert without_moment(answer).keys() == without_moment(running.rerank(REASONING).json()).keys()


def test_who_leaves_a_stream_frees_vllm(running: ServerProcess) -> None:
    documents = [f"Rest and fluids {n}. {marker('open')}" for n in range(8)]
    body = REASONING | {"documents": documents, "max_reasoning_tokens": 500}
    before = running.metric("limrank_requests_cancelled_total")
    with (
        httpx.Client(timeout=PATIENCE) as client,
        client.stream("POST", f"{running.url}/rerank", json=body, headers=LINES) as answer,
    ):
        assert next(arriving(answer))["event"] == "reasoning"
    running.wait_for("limrank_requests_cancelled_total", before + 1)
    running.wait_for("vllm:num_requests_running", 0)
    running.wait_for("limrank_running_documents", 0)


def test_the_start_told_its_steps(running: ServerProcess) -> None:
    """A start of more than ten seconds has lines; each tells a step, and none goes back."""
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if '"starting_vllm"' in line]
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps)
    assert all(step[1:].startswith(" of 4: ") for step in steps)
