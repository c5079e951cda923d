"""One step of a method: pure functions from a row to messages and from a reply to a value, and the key of a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

from llm.base import Message, Question, Reply
from llm.endpoint import Endpoint
from llm.replies import Answer, schema_of
from synth.llm.template import PromptTemplate

_text = json.JSONEncoder(ensure_ascii=False).encode
_sorted = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class Role(StrEnum):
    """The configured endpoint that a stage calls."""

    GENERATOR = "generator"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The expected load: `calls` questions like `example`, each with a reply of about `reply_tokens`."""

    stage: str
    role: Role
    calls: int
    example: Question
    reply_tokens: int


Row = TypeVar("Row")
Row_contra = TypeVar("Row_contra", contravariant=True)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Stage(Generic[Row, Value]):
    """A stage. `values` returns the template variables of a row; `read` returns the value of a reply.

    `shape` is the requested JSON; `read` raises `llm.replies.Unusable` for any other reply. `usual_tokens` is a typical
    length of replies, for estimates only.
    """

    name: str
    role: Role
    template: PromptTemplate
    shape: type[Answer]
    values: Callable[[Row], Mapping[str, str]]
    read: Callable[[Reply], Value]
    usual_tokens: int

    def messages(self, row: Row) -> tuple[Message, ...]:
        return self.template.messages(self.values(row))

    def forecast(self, calls: int, example: Row) -> Forecast:
        """The forecast for `calls` rows like `example`."""
        return Forecast(self.name, self.role, calls, self.question(example), self.usual_tokens)

    def question(self, row: Row) -> Question:
        return Question(self.messages(row), self.shape.__name__, schema_of(self.shape))


class Asker(Protocol):
    """Answers the questions of a stage: from the journal, otherwise from the endpoint (`Calls`), or only from the
    journal."""

    async def ask(self, stage: Stage[Row, Value], row: Row, input_id: str, vote: int = 1) -> Value | None:
        """The value, or None without a usable reply. `vote` distinguishes equal questions."""
        ...


class Keys:
    """The key of every call: a hash of stage, settings, input and model, 128 bits in hex."""

    def __init__(self, endpoints: Mapping[Role, Endpoint]) -> None:
        self._endpoints = endpoints
        self._started: dict[str, Any] = {}

    def key(self, stage: Stage[Row, Value], row: Row, vote: int) -> str:
        hasher = (self._started.get(stage.name) or self._start(stage)).copy()
        hasher.update(_canonical({"input": dict(stage.values(row)), "vote": vote}))
        return str(hasher.hexdigest())

    def _start(self, stage: Stage[Row, Value]) -> Any:
        endpoint = self._endpoints[stage.role]
        hasher = blake2b(digest_size=16)
        settings = {
            "stage": stage.name,
            "template": stage.template.sha256,
            "shape": schema_of(stage.shape),
            "model": endpoint.model,
            "sampling": endpoint.sampling(),
        }
        hasher.update(_canonical(settings))
        self._started[stage.name] = hasher
        return hasher


def data(text: str) -> str:
    """Untrusted text as it is put into a prompt: one JSON string, which the text cannot end itself."""
    return _text(text)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return _sorted(value).encode()
