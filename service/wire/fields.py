"""The types of body and answer fields, and the sentence for a value that does not fit one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    with_config,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from service.errors import BadRequest, EmptyList

# What a value must be, by pydantic's error type.
_MUST = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}
# Values under these errors are switches and numbers; others may be a user's text, which errors never repeat.
_QUOTABLE = frozenset({"int_type", "float_type", "bool_type", "literal_error", "greater_than_equal"})
_LONGEST_QUOTE = 40


def json_kind(value: object) -> str:
    """Returns JSON's name for the type of `value`, with its article."""
    if isinstance(value, dict):
        return "an object"
    kinds = {type(None): "null", bool: "a boolean", str: "a string", list: "a list"}
    return kinds.get(type(value), "a number")


class WireBody(BaseModel):
    """Base of all request bodies: no coercion but of switches ("5" is not 5, true is not 1), unknown fields ignored,
    null = absent."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


Body = TypeVar("Body", bound=WireBody)

# Decorates the types of answers: a field that they do not name is a fault. Answers are plain dictionaries, for speed;
# pydantic reads these types only for the OpenAPI page and in tests.
closed = with_config(ConfigDict(extra="forbid"))


def _not_blank(text: str) -> str:
    if not text or text.isspace():
        raise PydanticCustomError("blank", "must not be empty or only white space")
    return text


def _whole(value: object) -> object:
    """Turns 5.0 into 5: JSON has one kind of number, and one beyond 64 bits arrives as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _switch(value: object) -> object:
    """Turns "true" and "false" into switches, in any letter case: some clients write every option as a string, and
    servers that read bodies by pydantic's own rules take them."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


NonBlank = Annotated[str, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": r"\S"})]
Count = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
PositiveCount = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Texts = Annotated[list[str], Field(min_length=1), FailFast()]
Documents = Annotated[list[str | dict[str, Any]], Field(min_length=1), FailFast()]


def read_fields(model: type[Body], data: dict[str, Any]) -> Body:
    """Reads `data` as `model`. Raises BadRequest or EmptyList naming the first field that does not fit."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _bad_request(error.errors(include_url=False)) from None


def results_wanted(top_n: int | None, top_k: int | None) -> int | None:
    """Returns the number of results asked for under either name, None for all. Raises BadRequest if they differ."""
    if top_n is not None and top_k is not None and top_n != top_k:
        raise BadRequest(f"top_n is {top_n} and top_k is {top_k}; send only one of them.", field="top_k")
    return (top_k if top_n is None else top_n) or None


def _bad_request(errors: Sequence[ErrorDetails]) -> BadRequest:
    first = errors[0]
    field = _path(first["loc"])
    if first["type"] == "too_short":
        return EmptyList(f"{field} must not be empty; send at least one.", field=field)
    same = [error for error in errors if _path(error["loc"]) == field]
    return BadRequest(f"{field} {_complaint(same)}.", field=field)


def _path(location: tuple[int | str, ...]) -> str:
    """`("documents", 3, "str")` -> `documents[3]`: the last part names the branch of a union, not a field."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("str", "dict[str,any]"):
            path += f".{part}" if path else part
    return path


def _complaint(errors: Sequence[ErrorDetails]) -> str:
    first = errors[0]
    match first["type"]:
        case "missing":
            return "is missing"
        case "blank":
            return first["msg"]
        case "literal_error":
            return f"must be {first['ctx']['expected']}, got {_shown(first)}"
        case "greater_than_equal" | "less_than_equal":
            return f"must be {_bound(first['ctx'])}, got {_shown(first)}"
        case kind if kind in _MUST:
            wanted = " or ".join(_MUST.get(error["type"], error["msg"]) for error in errors)
            return f"must be {wanted}, got {_shown(first)}"
        case _:
            return f"is not valid: {first['msg']}"


def _bound(context: Mapping[str, Any]) -> str:
    return f"at least {context['ge']:g}" if "ge" in context else f"at most {context['le']:g}"


def _shown(error: ErrorDetails) -> str:
    value = error["input"]
    kind = json_kind(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str) and error["type"] in _QUOTABLE and len(value) <= _LONGEST_QUOTE:
        return f"the string {value!r}"
    return kind
