"""litellm.rerank through every provider that can point at this service."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import litellm

MODELS = (
    "hosted_vllm/limrank",
    "cohere/limrank",
    "jina_ai/limrank",
    "huggingface/limrank",
    "voyage/limrank",
    "nvidia_nim/ranking/limrank",
    "infinity/limrank",
)
INSTRUCTION = "Prefer passages about bread."


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    def rank(model: str, base: str = url, token: str = key, **more: Any) -> list[list[Any]]:
        arguments = {"query": query, "documents": documents, "top_n": 2} | more
        answer = litellm.rerank(model=model, api_base=base, api_key=token, **arguments)
        return [[result["index"], result["relevance_score"], result.get("document")] for result in answer.results]

    def each(model: str) -> dict[str, Callable[[], Any]]:
        provider = model.partition("/")[0]
        return {
            f"{provider}": partial(rank, model, top_n=100),
            f"{provider} bare": partial(rank, model, return_documents=False),
            f"{provider} wrong_key": partial(rank, model, token="wrong-key"),
            f"{provider} blank_query": partial(rank, model, query="  "),
            f"{provider} too_many": partial(rank, model, documents=documents * 100),
        }

    vllm, cohere, long = MODELS[0], MODELS[1], [documents[0], "word " * 20_000]
    return {name: call for model in MODELS for name, call in each(model).items()} | {
        "hosted_vllm rate_limited": lambda: [rank(vllm, token=slow_key) for _ in range(2)],
        "hosted_vllm at /v1": partial(rank, vllm, f"{url}/v1"),
        "hosted_vllm at /v1/rerank": partial(rank, vllm, f"{url}/v1/rerank"),
        "hosted_vllm instruction": partial(rank, vllm, instruction=INSTRUCTION, top_n=100),
        "hosted_vllm long": partial(rank, vllm, documents=long, max_tokens_per_doc=50),
        "cohere at /v1/rerank": partial(rank, cohere, f"{url}/v1/rerank"),
        "cohere at /v2/rerank": partial(rank, cohere, f"{url}/v2/rerank"),
        "jina_ai at a prefix": partial(rank, "jina_ai/limrank", f"{url}/some/prefix"),
        "huggingface long": partial(rank, "huggingface/limrank", documents=long),
        "voyage without top_n": partial(rank, "voyage/limrank", top_n=None),
    }
