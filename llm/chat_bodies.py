"""The JSON bodies of a chat completion call: `Question` to request, response to `Reply`."""

from __future__ import annotations

import json
from typing import Any

from llm.base import Finish, Question, Reply
from llm.endpoint import Endpoint, Structured

IN_WORDS = "Answer with one JSON object and nothing else. It must keep this JSON schema:\n"
_THOUGHT_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
)
_MOST_TOKENS = 1e12
_THOUGHT_PARTS = ("thinking", "reasoning")
_TEXT_PARTS = ("text", "output_text")
FINISHES = {"length": Finish.LENGTH, "max_tokens": Finish.LENGTH, "content_filter": Finish.REFUSAL}


def request_body(endpoint: Endpoint, question: Question, way: Structured) -> dict[str, Any]:
    """The body of one request; when the endpoint does not take a schema, the messages state it."""
    messages = [{"role": message.role, "content": message.content} for message in question.messages]
    body: dict[str, Any] = {"model": endpoint.model, "messages": messages}
    if endpoint.max_tokens_name:
        body[endpoint.max_tokens_name] = endpoint.max_tokens
    if endpoint.temperature is not None:
        body["temperature"] = endpoint.temperature
    if way == "json_schema":
        schema = {"name": question.schema_name, "strict": True, "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    else:
        messages[-1]["content"] += f"\n\n{IN_WORDS}{json.dumps(question.schema)}"
    if way == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body | endpoint.extra_body


def read_completion(raw: str, seconds: float) -> Reply:
    """The reply in a response body. A body that is not a chat completion is a reply too: it may have been paid for, and
    its usage counts."""
    prompt = completion = 0
    try:
        body = json.loads(raw)
        usage = body.get("usage") or {}
        prompt, completion = _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = _text(message.get("content")), _text(message.get("refusal"))
        thought = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
        thought = thought or _thinking(message.get("content"))
        finish = Finish.REFUSAL if refusal else FINISHES.get(choice.get("finish_reason"), Finish.STOP)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        return Reply(raw, "", Finish.BROKEN, prompt, completion, seconds)
    if not thought:
        thought, content = split_thought(content)
    return Reply(refusal or content, thought, finish, prompt, completion, seconds)


def error_in(raw: str) -> str | None:
    """The error message in a body of status 200, as some routers send it; None for any other body."""
    try:
        body = json.loads(raw)
        error = body["error"] if "choices" not in body else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    message = error.get("message") if isinstance(error, dict) else error
    return None if error is None else str(message or error)


def _tokens(usage: dict[str, Any], name: str) -> int:
    """A count of tokens; 0 for what is none, which some endpoints send."""
    value = usage.get(name) or 0
    return int(value) if 0 < float(value) < _MOST_TOKENS else 0


def _thinking(content: object) -> str:
    """The reasoning in a content of several parts, as Mistral's reasoning models return it."""
    if not isinstance(content, list):
        return ""
    return "".join(
        _text(part.get("thinking") or part.get("text")) for part in content if part.get("type") in _THOUGHT_PARTS
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if part.get("type", "text") in _TEXT_PARTS)
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def split_thought(content: str) -> tuple[str, str]:
    """(thought, answer) of a reasoning model served without a reasoning parser: `<think>thought</think>answer`.

    Models whose template opens the thought (DeepSeek-R1, QwQ) omit the first tag. An answer that is JSON, plain or
    fenced, has no thought before it.
    """
    stripped = content.lstrip()
    if stripped.startswith(("{", "```", "~~~")):
        return "", content
    for opening, closing in _THOUGHT_TAGS:
        thought, ends, answer = stripped.partition(closing)
        if ends:
            return thought.removeprefix(opening).strip(), answer.strip()
    return "", content
