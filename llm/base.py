"""The protocol of a language model, without any client library.

A caller builds a `Question`. An `LLM` answers it with a `Reply`, raises `NoReply` when this question got no answer, or
`EndpointFailed` when no question will get one.
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
    LENGTH = "length"  # cut by the endpoint at the token limit
    REFUSAL = "refusal"  # the model declined, or a content filter removed the text
    BROKEN = "broken"  # not a chat completion; the text is the endpoint's whole answer


@dataclass(frozen=True, slots=True)
class Message:
    role: str  # "system" or "user"
    content: str


@dataclass(frozen=True, slots=True)
class Question:
    """Messages, and the JSON schema (with its name) that the answer must match."""

    messages: tuple[Message, ...]
    schema_name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """The unchanged reply. `reasoning` is the separate reasoning of a reasoning model ("" when the endpoint returns
    none).

    Token counts are the endpoint's own usage; without usage they are 0, or an estimate when tokens have a price.
    `seconds` runs from the first attempt to the end.
    """

    text: str
    reasoning: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class NoReply(Exception):
    """This question got no answer. `raw` is the endpoint's own text.

    `final` is True when a retry cannot help, because the endpoint rejects the question itself, for example as too long.
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
    """Estimated prompt tokens of a question: 3 bytes per token and 8 tokens per message, deliberately high."""
    return sum(len(message.content.encode("utf-8", "replace")) // 3 + 8 for message in question.messages)
