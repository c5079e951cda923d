"""The cohere SDK: `ClientV2` (POST /v2/rerank) and `Client` (POST /v1/rerank)."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cohere

MODEL = "limrank"


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    v1 = cohere.Client(base_url=url, api_key=key)
    v2 = cohere.ClientV2(base_url=url, api_key=key)
    stranger = cohere.ClientV2(base_url=url, api_key="wrong-key")
    slow = cohere.ClientV2(base_url=url, api_key=slow_key)
    records = [{"text": text, "source": f"page {number}"} for number, text in enumerate(documents)]
    titled = [{"title": text, "body": "The same in every record."} for text in documents]

    def pairs(answer: Any) -> list[list[Any]]:
        return [[result.index, result.relevance_score] for result in answer.results]

    def rank(client: Any, **more: Any) -> list[list[Any]]:
        return pairs(client.rerank(**{"model": MODEL, "query": query, "documents": documents} | more))

    def echoed() -> list[Any]:
        answer = v1.rerank(model=MODEL, query=query, documents=records, return_documents=True)
        return [[result.index, result.document.text, result.document.source] for result in answer.results]

    def reasoned() -> Any:
        more = {"mode": "reasoning", "max_reasoning_tokens": 4, "return_reasoning": True}
        answer = v2.rerank(
            model=MODEL, query=query, documents=documents[:1], request_options={"additional_body_parameters": more}
        )
        return answer.results[0].reasoning

    def spans() -> list[Any]:
        wanted = cohere.RerankRelevantSpans(mode="enabled", threshold=0.0, max_spans=2)
        answer = v2.rerank(model=MODEL, query=query, documents=[" ".join(documents), ""], relevant_spans=wanted)
        results = sorted(answer.results, key=lambda result: result.index)
        assert all(isinstance(span, cohere.RerankRelevantSpanResponse) for span in results[0].relevant_spans)
        found = [[span.start, span.end, span.score] for span in results[0].relevant_spans]
        return [found, results[1].relevant_spans]

    return {
        "v1": lambda: rank(v1),
        "v1_records": lambda: rank(v1, documents=records),
        "v1_rank_fields": lambda: rank(v1, documents=titled, rank_fields=["title"]),
        "v1_echo": echoed,
        "v2": lambda: rank(v2),
        "v2_nulls": lambda: rank(v2, top_n=None, max_tokens_per_doc=None, priority=None),
        "v2_top_n": lambda: rank(v2, top_n=2),
        "v2_top_n_larger": lambda: rank(v2, top_n=1000),
        "v2_priority": lambda: rank(v2, priority=2),
        "v2_instruction": lambda: rank(
            v2, request_options={"additional_body_parameters": {"instruction": "Prefer passages about bread."}}
        ),
        "v2_reasoning": reasoned,
        "v2_meta": lambda: v2.rerank(model=MODEL, query=query, documents=documents).meta.tokens.input_tokens,
        "v1_chunks": lambda: rank(
            v1, max_chunks_per_doc=1, request_options={"additional_body_parameters": {"long_documents": "chunk"}}
        ),
        "v2_spans": spans,
        "spans_refused": lambda: rank(v2, relevant_spans=cohere.RerankRelevantSpans(mode="enabled", threshold=1.5)),
        "wrong_key": lambda: rank(stranger),
        "rate_limited": lambda: [rank(slow, request_options={"max_retries": 0}) for _ in range(2)],
        "blank_query_v1": lambda: rank(v1, query="  "),
        "blank_query_v2": lambda: rank(v2, query="  "),
        "no_documents": lambda: rank(v2, documents=[]),
        "too_many": lambda: rank(v2, documents=documents * 100),
    }
