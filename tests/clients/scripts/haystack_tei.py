"""Haystack's HuggingFaceTEIRanker: POST {scheme and host of url}/rerank, TEI's body."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker, TruncationDirection


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    def rank(
        token: str = key, address: str = url, query: str = query, documents: list[str] = documents, **run: Any
    ) -> list[list[Any]]:
        ranker = HuggingFaceTEIRanker(
            url=address, token=Secret.from_token(token), raw_scores=run.pop("raw_scores", False), max_retries=1
        )
        found = ranker.run(query=query, documents=[Document(content=text) for text in documents], **run)["documents"]
        return [[documents.index(document.content), document.score] for document in found]

    many = [f"{text} ({copy})" for copy in range(100) for text in documents]
    return {
        "rank": rank,
        "top_k": lambda: rank(top_k=2),
        "raw_scores": lambda: rank(raw_scores=True),
        "path_dropped": lambda: rank(address=f"{url}/some/prefix"),
        "cut_left": lambda: rank(truncation_direction=TruncationDirection.LEFT),
        "wrong_key": lambda: rank(token="wrong-key"),
        "blank_query": lambda: rank(query="  "),
        "too_many": lambda: rank(documents=many),
    }
