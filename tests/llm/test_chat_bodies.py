"""Bodies of chat completions that endpoints really send, or might: none of them ends a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm.base import Finish
from llm.chat_bodies import error_in, read_completion


def body(**more: Any) -> str:
    return json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], **more})


@pytest.mark.parametrize("tokens", [-5, "7", 1e400, -1e400, float("nan"), 10**30, None, 0.5])
def test_a_count_of_tokens_that_is_none_costs_no_reply(tokens: Any) -> None:
    reply = read_completion(body(usage={"prompt_tokens": tokens, "completion_tokens": 3}), 1.0)
    assert reply.prompt_tokens in (0, 7)
    assert (reply.text, reply.finish, reply.completion_tokens) == ("yes", Finish.STOP, 3)


@pytest.mark.parametrize(
    "raw",
    [
        *("", "null", "7", '"choices"', "[]", "{}", "[" * 100_000, '{"choices": {"0": 1}}', '{"choices": [null]}'),
        body(usage=[1]),
        body(usage={"prompt_tokens": 10**400}),
        body(usage={"prompt_tokens": {"a": 1}}),
        json.dumps({"choices": [{"message": {"content": ["a", {"type": "text", "text": "b"}]}}]}),
        json.dumps({"choices": [{"message": {"content": 7}}]}),
    ],
    ids=lambda raw: raw[:20],
)
def test_what_is_no_completion_is_a_broken_reply(raw: str) -> None:
    assert error_in(raw) is None
    assert read_completion(raw, 1.0).finish is Finish.BROKEN
