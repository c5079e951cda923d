"""LangChain's NVIDIARerank: POST {base_url}/ranking, and GET {base_url}/models before it when no model is named."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    def rank(token: str = key, query: str = query, copies: int = 1, **more: Any) -> list[list[Any]]:
        ranker = NVIDIARerank(base_url=f"{url}/v1", api_key=token, **more)
        wanted = [Document(page_content=text) for text in documents * copies]
        found = ranker.compress_documents(query=query, documents=wanted)
        return [[documents.index(one.page_content), one.metadata["relevance_score"]] for one in found]

    return {
        "rank": rank,
        "model": lambda: NVIDIARerank(base_url=f"{url}/v1", api_key=key).model,
        "other_name": lambda: rank(model="nvidia/llama-nemotron-rerank-1b-v2"),
        "top_n": lambda: rank(top_n=2),
        "batches": lambda: rank(max_batch_size=2, top_n=100),
        "truncate": lambda: rank(truncate="END"),
        "wrong_key": lambda: rank(token="wrong-key", model="limrank"),
        "blank_query": lambda: rank(query="  "),
        "too_many": lambda: rank(copies=100, max_batch_size=10_000),
    }
