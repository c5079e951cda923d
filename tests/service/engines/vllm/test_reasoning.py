"""Reasoning: every way a trace can end, what its verdict is read after, and the cache that is hit."""

from __future__ import annotations

import asyncio
import math
import random
from functools import partial
from typing import Any

import httpx
import pytest

from contract.segments import Segments
from tests.processes import ServerProcess
from tests.service.deadlines import cut_short
from tests.service.engines.plain_forward import PlainForward, text
from tests.service.engines.vllm.scripted_traces import LOOP, SCRIPTS, ids_of, marker
from tests.service.engines.vllm.serving import BLOCK, SEATS, grown, series
from tests.waiting import PATIENCE

TOLERANCE = 1e-3
QUERY = "how is influenza treated"
STATUSES = {"closed": "complete", "fused": "complete", "empty": "complete", "ended": "end_of_text"}
VERDICTS = ("limrank_verdict_steps_total", "limrank_verdict_recomputed_tokens_total")


def reason(running: ServerProcess, documents: list[str], budget: int, **fields: Any) -> dict[int, dict[str, Any]]:
    """The results of a reasoning call by the document's index."""
    body = {"query": QUERY, "documents": documents, "mode": "reasoning", "max_reasoning_tokens": budget, **fields}
    answer = running.rerank(body | {"return_reasoning": True})
    assert answer.status_code == 200, answer.text
    return {result["index"]: result for result in answer.json()["results"]}


def log_odds(result: dict[str, Any]) -> float:
    score = result["relevance_score"]
    return math.log(score / (1 - score))


def assert_scored_after(plain: PlainForward, document: str, written: list[int], result: dict[str, Any]) -> None:
    """The verdict is the one that a plain forward pass reads after the prompt and what was written."""
    segments = plain.segments
    context = segments.context_after(segments.prompt_ids(QUERY, document), written)
    assert log_odds(result) == pytest.approx(plain.log_odds(context), abs=TOLERANCE)


@pytest.mark.parametrize("name", STATUSES)
def test_a_trace_that_the_model_ends(running: ServerProcess, plain: PlainForward, name: str) -> None:
    document = f"Rest and fluids. {marker(name)}"
    result = reason(running, [document], 60)[0]
    segments = plain.segments
    forced = ids_of(segments.tokenizer, name)
    closed = segments.find_close(forced)
    pieces = SCRIPTS[name]
    assert result["reasoning"]["status"] == STATUSES[name]
    if name == "fused":
        assert closed is not None
        assert closed.ids[-len(segments.close) :] != segments.close, "the close is not fused; choose another text"
    written = list(closed.ids) if closed else segments.tokenizer.encode(pieces[0], add_special_tokens=False).ids
    told = result["reasoning"]
    assert told["text"] == (closed.text if closed else pieces[0])
    assert told["tokens"] == (closed.tokens if closed else len(written))
    assert_scored_after(plain, document, written, result)


def test_a_trace_that_goes_round_in_a_loop(running: ServerProcess, plain: PlainForward) -> None:
    document = f"Rest and fluids. {marker('looping')}"
    result = reason(running, [document], 400)[0]
    assert result["reasoning"]["status"] == "repetition"
    assert 48 <= result["reasoning"]["tokens"] < 100
    assert LOOP * 8 in result["reasoning"]["text"]
    forced = ids_of(plain.segments.tokenizer, "looping")
    assert_scored_after(plain, document, forced[: result["reasoning"]["tokens"]], result)


def test_a_trace_that_runs_to_its_budget(running: ServerProcess, plain: PlainForward) -> None:
    document = f"Rest and fluids. {marker('looping')}"
    result = reason(running, [document], 20)[0]
    forced = ids_of(plain.segments.tokenizer, "looping")
    assert (result["reasoning"]["status"], result["reasoning"]["tokens"]) == ("budget", 20)
    assert_scored_after(plain, document, forced[:20], result)


def test_traces_end_differently_side_by_side_and_beside_direct_calls(running: ServerProcess) -> None:
    """A request with other log-probabilities in its batch would turn these into -inf."""
    names = ["closed", "ended", "fused", "looping", "empty", "closed"]
    wanted = ["complete", "end_of_text", "complete", "repetition", "complete", "complete"]
    documents = [f"{text(random.Random(n), 12)} {marker(name)}" for n, name in enumerate(names)]
    alone = [log_odds(reason(running, [document], 90)[0]) for document in documents[:3]]

    async def together() -> tuple[httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE) as client:
            body = {"query": QUERY, "documents": documents, "mode": "reasoning", "max_reasoning_tokens": 90}
            reasoning = client.post("/rerank", json=body | {"return_reasoning": True})
            direct = client.post("/rerank", json={"query": QUERY, "texts": documents, "raw_scores": True})
            return await asyncio.gather(reasoning, direct)

    reasoned, direct = asyncio.run(together())
    results = {each["index"]: each for each in reasoned.json()["results"]}
    assert [results[n]["reasoning"]["status"] for n in range(len(names))] == wanted
    assert [log_odds(results[n]) for n in range(3)] == pytest.approx(alone, abs=TOLERANCE)
    assert all(math.isfinite(each["score"]) for each in direct.json())


def test_a_verdict_computes_at_most_a_block_and_the_close_again(running: ServerProcess, segments: Segments) -> None:
    documents = [f"{text(random.Random(n), 190)} {marker('open')}" for n in range(8)]
    prompts = [len(segments.prompt_ids(QUERY, document)) for document in documents]
    assert min(prompts) >= 300
    before = series(running, *VERDICTS, "vllm:prompt_tokens_total", "vllm:prompt_tokens_cached_total")
    reason(running, documents, 20)
    counts = grown(before, series(running, *before))
    most = BLOCK + len(segments.close)
    assert counts["limrank_verdict_steps_total"] == len(documents)
    assert counts["limrank_verdict_recomputed_tokens_total"] <= most * len(documents)
    computed = counts["vllm:prompt_tokens_total"] - counts["vllm:prompt_tokens_cached_total"]
    assert computed <= sum(prompts) + most * len(documents), "vLLM's own count tells otherwise"


@pytest.mark.parametrize("name", ["closed", "fused", "empty"])
def test_a_close_of_the_models_own_needs_no_second_request(
    running: ServerProcess, segments: Segments, name: str
) -> None:
    documents = [f"{text(random.Random(n), 30)} {marker(name)}" for n in range(4)]
    before = series(running, *VERDICTS, "vllm:generation_tokens_total")
    reason(running, documents, 200)
    counts = grown(before, series(running, *before))
    assert [counts[each] for each in VERDICTS] == [0, 0]
    closed = segments.find_close(ids_of(segments.tokenizer, name))
    assert closed is not None
    # What is no verdict behind a close is seen when vLLM tells of the next 16 tokens, and then it must stop.
    assert counts["vllm:generation_tokens_total"] <= len(documents) * (len(closed.ids) + 1 + 2 * 16)


def test_a_deadline_closes_traces_in_time_and_lets_no_other_begin(running: ServerProcess) -> None:
    """It leaves time for 60 tokens or so, of traces that would have 400."""
    documents = [f"{text(random.Random(n), 20)} {marker('open')}" for n in range(40)]
    body = {"query": QUERY, "documents": documents, "mode": "reasoning", "max_reasoning_tokens": 400}
    part = partial(reason, running, documents[:4], 40)  # the server then knows its own speed
    results = cut_short(running, body | {"return_reasoning": True}, part, 1.5)
    assert [result["reasoning"]["status"] for result in results] == ["deadline"] * len(documents)
    assert all(result["reasoning"]["tokens"] < 400 for result in results)
    # Of those that found no seat at first one may take a seat that comes free right before the end.
    assert sum(1 for result in results if not result["reasoning"]["tokens"]) >= (len(documents) - SEATS) // 2


def test_a_trace_in_pieces_is_the_trace_in_one(running: ServerProcess) -> None:
    """Probes along a trace, as adaptive mode reads them, change neither its text nor the verdict at its end."""
    documents = ["Rest and fluids help.", "Trains run on rails."]
    whole = reason(running, documents, 20)
    pieces = reason(running, documents, 20, return_probes=8)
    for index, result in pieces.items():
        assert result["reasoning"] == whole[index]["reasoning"]
        first, *_, last = result["probes"]
        assert (first["tokens"], last["tokens"]) == (0, whole[index]["reasoning"]["tokens"])
        assert log_odds(result) == pytest.approx(log_odds(whole[index]), abs=TOLERANCE)
        assert last["log_odds"] == pytest.approx(log_odds(result), abs=TOLERANCE)
