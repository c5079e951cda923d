"""Parses a raw reply into a checked value: strict JSON of one shape, or `Unusable` with the reason. Repairs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from llm.base import Finish, Reply

_FENCED = re.compile(
    r"(?P<fence>```|~~~)[ \t]*(?:json)?[ \t]*(?:\r?\n|(?=[{\[]))(?P<inside>.*?)(?P=fence)", re.DOTALL | re.I
)
SHOWN = 120  # characters of detail in a reason


class Unusable(Exception):
    """A reply that cannot be used. `reason` begins with one stable word; `again` says whether a retry makes sense."""

    def __init__(self, word: str, detail: str = "", *, again: bool = True) -> None:
        self.reason = f"{word}: {detail}" if detail else word
        self.again = again
        super().__init__(self.reason)


class Answer(BaseModel):
    """Base of the answer shapes of stages: exactly the named fields with exactly the named types.

    A subclass's docstring is part of the JSON schema that endpoints get, and so of the key of every call: rewording it
    makes journalled replies useless.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is blank")
    return text.strip()


Text = Annotated[str, AfterValidator(_not_blank)]
"""A text that is not blank; surrounding white space is dropped."""

Shape = TypeVar("Shape", bound=Answer)


def read_answer(reply: Reply, shape: type[Shape]) -> Shape:
    """The value in a reply. Raises `Unusable` for a refusal, a truncated or empty reply, and anything else that does
    not parse."""
    if reply.finish is Finish.REFUSAL:
        raise Unusable("refusal", _short(reply.text), again=False)
    if reply.finish is Finish.BROKEN:
        raise Unusable("broken_body", _short(reply.text))
    if reply.finish is Finish.LENGTH:
        raise Unusable("truncated", f"the endpoint cut the reply at {reply.completion_tokens} tokens")
    text = _unfenced(reply.text.strip())
    if not text:
        raise Unusable("empty")
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Unusable("not_json", _short(first["msg"])) from None
        place = ".".join(str(part) for part in first["loc"]) or "the reply"
        raise Unusable("wrong_shape", _short(f"{place}: {first['msg']}")) from None


@cache
def schema_of(shape: type[Answer]) -> Mapping[str, Any]:
    """The JSON schema requested from the endpoint: every field required, no others allowed."""
    return shape.model_json_schema()


def _unfenced(text: str) -> str:
    """The content of a reply that consists of one fenced block, which models without a schema tend to write."""
    fenced = _FENCED.fullmatch(text)
    return fenced["inside"].strip() if fenced else text


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
