"""The protocol of a language model, without any client library.

A caller builds a `Question`; an `LLM` answers it with a `Reply`, raises `NoReply` where this question got none, or
`EndpointFailed` where no question will get one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cli.errors import CommandError


class Finish(StrEnum):
    """Why the text of a reply ends."""

    STOP = "stop"
    LENGTH = "length"  # the endpoint cut it at the token limit
    REFUSAL = "refusal"  # the model declined, or a content filter took the text away
    BROKEN = "broken"  # the endpoint's answer is no chat completion; the text is that answer, whole


@dataclass(frozen=True, slots=True)
class Message:
    role: str  # "system" or "user"
    content: str


@dataclass(frozen=True, slots=True)
class Question:
    """Messages, and the JSON schema (with its name) that the answer must keep."""

    messages: tuple[Message, ...]
    schema_name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """The unchanged reply. `reasoning` is a reasoning model's separate reasoning ("" where the endpoint returns none).

    Token counts are the endpoint's own usage (where it gives none 0, or an estimate where tokens have a price);
    `seconds` is from the first sending to the end.
    """

    text: str
    reasoning: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class NoReply(Exception):
    """This question got no answer. `raw` is the endpoint's own text.

    `final` True: asking again cannot help (the endpoint says the question itself is wrong, such as one too long).
    """

    def __init__(self, reason: str, raw: str, *, final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.raw = raw
        self.final = final


class EndpointFailed(CommandError):
    """An endpoint that cannot be used at all: unreachable, wrong key, unknown model."""


class LLM(Protocol):
    """A model behind an endpoint. All methods run on the event loop and never block it."""

    async def ask(self, question: Question) -> Reply: ...

    async def close(self) -> None: ...


def estimate_tokens(question: Question) -> int:
    """Prompt tokens of a question, from its length alone: 3 bytes a token and 8 tokens a message, on the high side."""
    return sum(len(message.content.encode("utf-8", "replace")) // 3 + 8 for message in question.messages)
