"""LlamaIndex: CohereRerank calls B/v2/rerank, JinaRerank B/v1/rerank, TextEmbeddingInference B/rerank."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    def cohere(token: str = key, top_n: int = 100) -> Any:
        return CohereRerank(base_url=url, api_key=token, model="limrank", top_n=top_n, max_retries=1)

    def jina(token: str = key, top_n: int = 100) -> Any:
        return JinaRerank(base_url=f"{url}/v1", api_key=token, model="limrank", top_n=top_n)

    def tei(token: str = f"Bearer {key}", top_n: int = 100) -> Any:
        return TextEmbeddingInference(base_url=url, auth_token=token, top_n=top_n)

    def rank(reranker: Any, query: str = query, copies: int = 1) -> list[list[Any]]:
        nodes = [NodeWithScore(node=TextNode(text=text, id_=f"{i}")) for i, text in enumerate(documents * copies)]
        return [[int(one.node.node_id), one.score] for one in reranker.postprocess_nodes(nodes, query_str=query)]

    return {
        "cohere": lambda: rank(cohere()),
        "cohere_top_n": lambda: rank(cohere(top_n=2)),
        "cohere_wrong_key": lambda: rank(cohere("wrong-key")),
        "cohere_blank_query": lambda: rank(cohere(), query="  "),
        "cohere_too_many": lambda: rank(cohere(), copies=100),
        "jina": lambda: rank(jina()),
        "jina_top_n": lambda: rank(jina(top_n=2)),
        "jina_wrong_key": lambda: rank(jina("wrong-key")),
        "jina_blank_query": lambda: rank(jina(), query="  "),
        "jina_too_many": lambda: rank(jina(), copies=100),
        "tei": lambda: rank(tei()),
        "tei_top_n": lambda: rank(tei(top_n=2)),
        "tei_key_without_bearer": lambda: rank(tei(key)),
        "tei_wrong_key": lambda: rank(tei("Bearer wrong-key")),
        "tei_blank_query": lambda: rank(tei(), query="  "),
        "tei_too_many": lambda: rank(tei(), copies=100),
    }
