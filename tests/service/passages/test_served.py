"""Long documents in windows, and spans, on a running service: what is scored, what is answered, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import REASONING, ScriptedEngine
from tests.service.api.streams.reading import LINES, of, read, without_moment
from tests.service.api.streams.writing import WritingEngine
from tests.service.serving import wait_until
from tests.service.wire.server import open_service
from tests.waiting import PATIENCE

QUERY = "ice shapes a valley"
FILLER = "Bread rises in the oven. Rivers are long and wide. "
LONG = FILLER * 3 + "The ice shapes a valley below. " + FILLER * 3
SHORT = "A valley."
CHUNKED: dict[str, Any] = {"query": QUERY, "documents": [SHORT, LONG], "long_documents": "chunk"}
SPANS: dict[str, Any] = {"query": QUERY, "documents": [SHORT, LONG, ""], "relevant_spans": {"mode": "enabled"}}


@pytest.fixture(scope="module")
def engine() -> WritingEngine:
    return WritingEngine()


@pytest.fixture(scope="module")
def client(engine: WritingEngine) -> Iterator[httpx.Client]:
    with open_service(engine, chunk_tokens=16) as url, httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


def ask(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/rerank", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def scored(engine: WritingEngine, since: int) -> list[str]:
    """The texts that were scored since then."""
    return sorted(passage for job in engine.jobs[since:] for passage in job.passages)


def test_a_document_scores_as_its_best_window_which_is_named(client: httpx.Client, engine: WritingEngine) -> None:
    before = len(engine.jobs)
    first, second = ask(client, CHUNKED)["results"]
    assert (first["index"], second["index"]) == (1, 0)
    place = first["chunk"]
    assert "The ice shapes a valley below." in LONG[place["start"] : place["end"]]
    assert second["chunk"] == {"start": 0, "end": len(SHORT)}
    texts = scored(engine, before)
    assert len(texts) > 4
    assert all(len(text) <= 64 for text in texts), "16 tokens of four characters"
    best = ask(client, {"query": QUERY, "documents": [LONG[place["start"] : place["end"]]]})
    assert best["results"][0]["relevance_score"] == first["relevance_score"]


def test_only_who_asks_gets_windows_and_the_server_may_say_so(client: httpx.Client) -> None:
    for body in (CHUNKED | {"long_documents": "truncate"}, CHUNKED | {"long_documents": None}):
        assert all("chunk" not in result for result in ask(client, body)["results"])
    # a limit of chunks turns nothing on
    assert "chunk" not in ask(client, CHUNKED | {"long_documents": None, "max_chunks_per_doc": 2})["results"][0]
    with open_service(chunk_tokens=16, long_documents="chunk") as url, httpx.Client(base_url=url) as chunking:
        body = {"query": QUERY, "documents": [SHORT, LONG]}
        assert all("chunk" in result for result in ask(chunking, body)["results"])
        assert all("chunk" not in result for result in ask(chunking, body | {"long_documents": "truncate"})["results"])
        windows = chunking.get("/info").json()["long_documents"]
        assert windows == {"default": "chunk", "chunk_tokens": 16, "chunk_overlap": 0}
        texts = chunking.post("/rerank", json={"query": QUERY, "texts": [SHORT, LONG]}).json()
        assert [each["index"] for each in texts] == [1, 0]
        assert texts[0]["score"] == ask(chunking, body)["results"][0]["relevance_score"]


def test_max_chunks_per_doc_leaves_out_the_later_windows_and_says_so(client: httpx.Client) -> None:
    answer = ask(client, CHUNKED | {"max_chunks_per_doc": 1})
    assert answer["meta"]["warnings"] == ["1 of 2 documents were truncated: 1."]
    place = next(result["chunk"] for result in answer["results"] if result["index"] == 1)
    assert place["start"] == 0
    assert "warnings" not in ask(client, CHUNKED | {"max_chunks_per_doc": 100})["meta"]
    assert "warnings" not in ask(client, CHUNKED | {"max_chunks_per_doc": 0})["meta"]


def test_max_tokens_per_doc_limits_what_is_read_in_windows(client: httpx.Client, engine: WritingEngine) -> None:
    before = len(engine.jobs)
    answer = ask(client, CHUNKED | {"max_tokens_per_doc": 20})
    assert answer["meta"]["warnings"][0] == "1 of 2 documents were truncated: 1."
    assert sum(map(len, scored(engine, before))) <= len(SHORT) + 80
    refused = client.post("/rerank", json=CHUNKED | {"max_tokens_per_doc": 20, "truncation": False})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "documents[1]")
    assert client.post("/rerank", json=CHUNKED | {"truncation": False}).status_code == 200


def test_usage_counts_every_window_and_the_prefix_is_shared(client: httpx.Client, engine: WritingEngine) -> None:
    before = len(engine.jobs)
    answer = ask(client, CHUNKED)
    jobs = engine.jobs[before:]
    prompts = [prompt for job in jobs for prompt in job.prompts]
    assert answer["usage"]["prompt_tokens"] == sum(prompt.tokens for prompt in prompts)
    assert answer["usage"]["cached_tokens"] == 20 * len(prompts)
    assert len({id(prompt.prefix) for prompt in prompts}) == 1


def test_reasoning_is_that_of_the_best_window(client: httpx.Client) -> None:
    body = CHUNKED | {"mode": "reasoning", "return_reasoning": True}
    answer = ask(client, body)
    assert [result["reasoning"]["tokens"] for result in answer["results"]] == [5, 5]
    assert answer["usage"]["completion_tokens"] > 10, "of all windows"
    events = read(client.post("/rerank", json=body, headers=LINES))
    assert without_moment(events[-1][1]) == without_moment(answer)
    told = of("document", events)
    assert sorted(each["index"] for each in told) == [0, 1], "one event for each document"
    texts: dict[tuple[int, int, int], str] = {}
    for piece in of("reasoning", events):
        key = (piece["index"], piece["chunk"]["start"], piece["chunk"]["end"])
        assert piece["offset"] == len(texts.get(key, ""))
        texts[key] = texts.get(key, "") + piece["text"]
    assert set(texts.values()) == {REASONING}


def test_spans_are_the_best_sentences_first_and_absent_where_there_are_none(client: httpx.Client) -> None:
    by_index = {result["index"]: result for result in ask(client, SPANS)["results"]}
    spans = by_index[1]["relevant_spans"]
    assert LONG[spans[0]["start"] : spans[0]["end"]] == "The ice shapes a valley below."
    assert [span["score"] for span in spans] == sorted((span["score"] for span in spans), reverse=True)
    assert len(spans) == 13, "each sentence of the document is worth more than 0.1"
    assert by_index[0]["relevant_spans"] == [{"start": 0, "end": len(SHORT), "score": by_index[0]["relevance_score"]}]
    assert "relevant_spans" not in by_index[2], "an empty passage has none"
    alone = ask(client, {"query": QUERY, "documents": ["The ice shapes a valley below."]})
    assert spans[0]["score"] == alone["results"][0]["relevance_score"], "the same model and prompt"


def test_threshold_and_number_of_spans(client: httpx.Client) -> None:
    def spans(**wanted: Any) -> list[list[float]]:
        body = SPANS | {"relevant_spans": {"mode": "enabled", **wanted}}
        return [[span["score"] for span in result.get("relevant_spans", [])] for result in ask(client, body)["results"]]

    assert [len(each) for each in spans(max_spans=2)] == [2, 1, 0]
    assert [len(each) for each in spans(threshold=1)] == [0, 0, 0]
    assert [len(each) for each in spans(threshold=None, max_spans=None)] == [13, 1, 0]
    (best, *_), *_ = spans()
    assert spans(threshold=best)[0] == [best], "one that reaches the threshold is returned"
    off = ask(client, SPANS | {"relevant_spans": {"mode": "disabled", "threshold": 0.5}})
    assert all("relevant_spans" not in result for result in off["results"])


def test_spans_do_not_change_the_documents_scores(client: httpx.Client) -> None:
    def scores(body: dict[str, Any]) -> dict[int, float]:
        return {result["index"]: result["relevance_score"] for result in ask(client, body)["results"]}

    assert scores(SPANS) == scores(SPANS | {"relevant_spans": None})


def test_spans_are_scored_directly_also_in_reasoning_mode(client: httpx.Client, engine: WritingEngine) -> None:
    before = len(engine.jobs)
    body = SPANS | {"mode": "reasoning", "return_reasoning": True}
    answer = ask(client, body)
    prompts = [prompt for job in engine.jobs[before:] for prompt in job.prompts]
    assert sum(prompt.budget > 0 for prompt in prompts) == 3
    assert sum(prompt.budget == 0 for prompt in prompts) == 14
    assert answer["usage"]["completion_tokens"] == 15
    events = read(client.post("/rerank", json=body, headers=LINES))
    assert without_moment(events[-1][1]) == without_moment(answer)
    assert all("chunk" not in piece for piece in of("reasoning", events))


def test_spans_of_documents_in_windows(client: httpx.Client) -> None:
    for result in ask(client, SPANS | {"long_documents": "chunk"})["results"]:
        assert "chunk" in result
        text = SPANS["documents"][result["index"]]
        for span in result.get("relevant_spans", []):
            assert text[span["start"] : span["end"]].strip()


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"long_documents": "split"}, "long_documents", "'truncate' or 'chunk'"),
        ({"long_documents": 5}, "long_documents", "'truncate' or 'chunk'"),
        ({"max_chunks_per_doc": -1}, "max_chunks_per_doc", "at least 0"),
        ({"max_chunks_per_doc": "ten"}, "max_chunks_per_doc", "a whole number"),
        ({"relevant_spans": True}, "relevant_spans", "an object"),
        ({"relevant_spans": {}}, "relevant_spans.mode", "is missing"),
        ({"relevant_spans": {"mode": "on"}}, "relevant_spans.mode", "'enabled' or 'disabled'"),
        ({"relevant_spans": {"mode": "enabled", "threshold": 1.5}}, "relevant_spans.threshold", "at most 1"),
        ({"relevant_spans": {"mode": "enabled", "threshold": -0.1}}, "relevant_spans.threshold", "at least 0"),
        ({"relevant_spans": {"mode": "enabled", "threshold": "0.5"}}, "relevant_spans.threshold", "a number"),
        ({"relevant_spans": {"mode": "enabled", "max_spans": 0}}, "relevant_spans.max_spans", "at least 1"),
        ({"relevant_spans": {"mode": "enabled", "max_spans": True}}, "relevant_spans.max_spans", "a whole number"),
    ],
)
def test_bad_values_are_named(client: httpx.Client, fields: dict[str, Any], param: str, says: str) -> None:
    answer = client.post("/rerank", json=CHUNKED | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert says in answer.json()["message"]


def test_a_call_of_more_pieces_than_are_queued_is_too_large() -> None:
    with open_service(chunk_tokens=16, max_queued_documents=20) as url, httpx.Client(base_url=url) as client:
        ask(client, CHUNKED)
        for fields in ({}, {"long_documents": None, "relevant_spans": {"mode": "enabled"}}):
            answer = client.post("/rerank", json=CHUNKED | {"documents": [LONG * 5]} | fields)
            assert answer.status_code == 413
            assert "more than 20 parts" in answer.json()["message"]
        assert client.post("/rerank", json=CHUNKED | {"documents": [SHORT]}).status_code == 200


def test_requests_of_a_batch_are_read_in_pieces_as_alone(client: httpx.Client) -> None:
    asked = [CHUNKED, SPANS, SPANS | {"mode": "reasoning"}, CHUNKED | {"max_chunks_per_doc": 1}]
    several = client.post("/v1/rerank/batch", json={"requests": asked}).json()["results"]
    for body, found in zip(asked, several, strict=True):
        assert found["status"] == 200
        alone = ask(client, body)
        assert found["body"]["results"] == alone["results"]
        assert found["body"]["usage"] == alone["usage"]


def test_a_request_of_too_many_pieces_fails_alone_in_its_batch() -> None:
    with open_service(chunk_tokens=16, max_queued_documents=20) as url, httpx.Client(base_url=url) as client:
        asked = [CHUNKED | {"documents": [LONG * 5]}, CHUNKED]
        several = client.post("/v1/rerank/batch", json={"requests": asked}).json()["results"]
        assert [found["status"] for found in several] == [413, 200]


def test_a_window_the_engine_fails_on_is_the_documents_failure() -> None:
    failing = "The ice shapes a valley below. Bread rises in the oven."
    engine = ScriptedEngine(fail_always={failing})
    with open_service(engine, chunk_tokens=16) as url, httpx.Client(base_url=url) as client:
        answer = client.post("/rerank", json=CHUNKED)
        assert any(failing in job.passages for job in engine.jobs)
        assert answer.status_code == 500
        assert answer.json()["error"]["param"] == "documents[1]"
        assert "document 1," in answer.json()["message"]


def test_one_long_document_takes_turns_as_many_short_ones_do() -> None:
    """A short call that comes while the windows of a long document are scored ends before these do."""
    engine = ScriptedEngine(seconds=0.02, window=2)
    with (
        open_service(engine, chunk_tokens=16, window=2) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        before = len(engine.jobs)
        long = pool.submit(ask, client, CHUNKED | {"documents": [LONG * 20]})
        wait_until(lambda: len(engine.jobs) > before, "the long document to begin")
        ask(client, {"query": "another", "documents": ["a short one"]})
        assert not long.done()
        assert long.result()["usage"]["prompt_tokens"] > 100 * 50
        assert max(len(job.passages) for job in engine.jobs[before:]) <= 2


TEXTS = st.text(st.sampled_from("ab c. \n!\u3002\u5c71\U0001f469\u0301") | st.characters(codec="utf-8"), max_size=200)


@settings(max_examples=40, deadline=None)
@given(documents=st.lists(TEXTS, min_size=1, max_size=3), chunk=st.booleans(), spans=st.booleans())
def test_places_are_slices_of_the_text_that_score_as_they_say(
    client: httpx.Client, documents: list[str], chunk: bool, spans: bool
) -> None:
    body: dict[str, Any] = {"query": "a b c", "documents": documents}
    asked = body | {"long_documents": "chunk"} if chunk else body
    if spans:
        asked = asked | {"relevant_spans": {"mode": "enabled", "threshold": 0.0}}
    answer = ask(client, asked)
    assert sorted(result["index"] for result in answer["results"]) == list(range(len(documents)))
    expected: list[tuple[str, float]] = []
    for result in answer["results"]:
        text = documents[result["index"]]
        assert ("chunk" in result) == chunk
        found = [(each, each["score"]) for each in result.get("relevant_spans", [])]
        if chunk:
            found.append((result["chunk"], result["relevance_score"]))
        for place, score in found:
            assert 0 <= place["start"] <= place["end"] <= len(text)
            expected.append((text[place["start"] : place["end"]], score))
        if spans:
            in_order = sorted((place["start"], place["end"]) for place in result.get("relevant_spans", []))
            covered = "".join(text[start:end] for start, end in in_order)
            assert "".join(covered.split()) == "".join(text.split())
    if expected:
        again = ask(client, body | {"documents": [text for text, _ in expected]})
        by_index = {result["index"]: result["relevance_score"] for result in again["results"]}
        assert [by_index[place] for place in range(len(expected))] == [score for _, score in expected]
