"""The openai SDK: POST {base_url}/decisions with predicates."""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai


def calls(url: str, key: str, slow_key: str, query: str, documents: list[str]) -> dict[str, Callable[[], Any]]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong-key", max_retries=0)
    predicate = {"type": "predicate", "name": "asked", "instructions": query}
    choice = {"type": "choice", "instructions": query, "choices": [{"value": "a"}, {"value": "b"}]}

    def decide(user: Any, text: Any, *questions: Any) -> list[list[Any]]:
        decision = user.decisions.create(model="limrank", input=text, questions=list(questions))
        return [[answer.type, answer.name, answer.probability] for answer in decision.answers]

    def usage() -> list[int]:
        asked: list[Any] = [predicate]
        found = client.decisions.create(model="limrank", input=documents[0], questions=asked).usage
        return [found.input_tokens, found.output_tokens, found.total_tokens]

    return {
        "decide": lambda: [decide(client, text, predicate)[0] for text in documents],
        "several": lambda: decide(client, documents[1], predicate, {**predicate, "name": "again"}),
        "messages": lambda: decide(client, [{"role": "user", "content": documents[1]}], predicate),
        "usage": usage,
        "choice": lambda: decide(client, documents[0], predicate, choice),
        "no_questions": lambda: decide(client, documents[0]),
        "wrong_key": lambda: decide(stranger, documents[0], predicate),
        "too_many": lambda: decide(client, documents[0], *[predicate] * 60),
    }
