"""LangChain's CohereRerank: POST {base_url}/v2/rerank, always with `max_tokens_per_doc`, null unless given."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_cohere import CohereRerank
from langchain_core.documents import Document


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    def reranker(token: str = key) -> Any:
        return CohereRerank(base_url=url, cohere_api_key=token, model="limrank", top_n=2)

    def rank(token: str = key, query: str = query, copies: int = 1, **more: Any) -> list[list[Any]]:
        found = reranker(token).rerank(documents * copies, query, **more)
        return [[one["index"], one["relevance_score"]] for one in found]

    def compress() -> list[list[Any]]:
        wanted = [Document(page_content=text, metadata={"page": page}) for page, text in enumerate(documents)]
        found = reranker().compress_documents(wanted, query)
        return [[one.metadata["page"], one.metadata["relevance_score"]] for one in found]

    def records() -> list[list[Any]]:
        wanted = [{"body": text, "page": page} for page, text in enumerate(documents)]
        found = reranker().rerank(wanted, query, rank_fields=["body"], top_n=None)
        return [[one["index"], one["relevance_score"]] for one in found]

    return {
        "all": lambda: rank(top_n=None),
        "default": rank,
        "compress": compress,
        "records": records,
        "wrong_key": lambda: rank(token="wrong-key"),
        "blank_query": lambda: rank(query="  "),
        "too_many": lambda: rank(copies=100),
    }
