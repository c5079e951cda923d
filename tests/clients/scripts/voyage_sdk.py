"""The voyageai SDK: POST {base_url}/rerank, always with `top_k` and `truncation`; reads `data`."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import voyageai


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    client = voyageai.Client(base_url=f"{url}/v1", api_key=key)
    stranger = voyageai.Client(base_url=f"{url}/v1", api_key="wrong-key")
    slow = voyageai.Client(base_url=f"{url}/v1", api_key=slow_key)

    def rank(user: Any, query: str = query, documents: list[str] = documents, **more: Any) -> list[list[Any]]:
        answer = user.rerank(query, documents, model="limrank", **more)
        return [[result.index, result.relevance_score, result.document] for result in answer.results]

    return {
        "rank": lambda: rank(client),
        "top_k": lambda: rank(client, top_k=2),
        "tokens": lambda: client.rerank(query, documents, model="limrank").total_tokens,
        "too_long": lambda: rank(client, documents=[documents[0], "word " * 20_000], truncation=False),
        "wrong_key": lambda: rank(stranger),
        "rate_limited": lambda: [rank(slow) for _ in range(2)],
        "blank_query": lambda: rank(client, query="  "),
        "too_many": lambda: rank(client, documents=documents * 100),
    }
