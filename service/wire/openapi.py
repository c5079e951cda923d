"""Describes bodies and answers for the OpenAPI page: the routes read raw bytes, so their signatures do not."""

from __future__ import annotations

from typing import Any, Union

from service.wire.cohere_answer import Error
from service.wire.fields import WireBody
from service.wire.shape import SHAPES, Shape, WireLimits
from service.wire.tei import TeiError
from service.wire.threshold import PARAMETER

_DESCRIPTION = (
    "The body decides: `documents` for clients of Cohere, Jina and Voyage, `texts` for those of "
    "text-embeddings-inference, `passages` for those of NVIDIA's NIM. Fields that are null count as absent, "
    "fields not listed are ignored. `return_documents` is false on every path unless asked for. "
    "The header `X-Request-Timeout-Ms`, a whole number above 0, says how many milliseconds after the body's last byte "
    "the answer is of use; it is no parameter here, because a small one rightly gets 503 or 504 for any body."
)
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait before a retry.", "schema": {"type": "integer"}}}
ERRORS: dict[int, str] = {
    400: "A field does not fit, or the body is not JSON",
    401: "No key, or not a valid one",
    404: "The model is not served here",
    408: "The body did not arrive in time",
    413: "The body is too large, or holds too many documents",
    415: "The body is compressed in a way that is not known here",
    500: "The engine failed on a document",
    504: "Not all documents could be scored before the deadline",
}
WAIT: dict[int, str] = {429: "The key's limit is reached", 503: "The queue is full, or the server is not ready"}
_TEI_ERRORS: dict[int, str] = {
    422: "As 400, for a body with `texts`",
    424: "As 500, for a body with `texts`",
}


def rerank_operation(limits: WireLimits) -> dict[str, Any]:
    """Returns `openapi_extra` of the rerank paths: the bodies of all shapes."""
    bodies = [body_schema(shape, limits) for shape in SHAPES]
    content = {"application/json": {"schema": {"anyOf": bodies}}}
    return {
        "description": _DESCRIPTION,
        "parameters": [PARAMETER],
        "requestBody": {"required": True, "content": content},
    }


def rerank_responses() -> dict[int | str, dict[str, Any]]:
    """Returns `responses` of the rerank paths."""
    answers: Any = Union[tuple(shape.answer for shape in SHAPES)]  # noqa: UP007 - of a tuple made at run time
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": answers, "description": "Best first, in the body's shape"}
    }
    for status, description in ERRORS.items():
        responses[status] = {"model": Error | TeiError, "description": description}
    for status, description in WAIT.items():
        responses[status] = {"model": Error | TeiError, "description": description, "headers": RETRY_AFTER}
    for status, description in _TEI_ERRORS.items():
        responses[status] = {"model": TeiError, "description": description}
    return responses


def description_responses(model: Any) -> dict[int | str, dict[str, Any]]:
    """Returns `responses` of a path that describes the service and answers with `model`."""
    return {
        200: {"model": model},
        401: {"model": Error, "description": ERRORS[401]},
        404: {"model": Error, "description": ERRORS[404]},
        "4XX": {"model": Error, "description": "The request does not fit"},
    }


def body_schema(shape: Shape, limits: WireLimits) -> dict[str, Any]:
    """Returns the schema of a body with its definitions inlined: the page has no place for those of a raw body."""
    schema = inlined(shape.body)
    schema["properties"][shape.items]["maxItems"] = limits.max_documents
    return schema


def inlined(body: type[WireBody]) -> dict[str, Any]:
    """Returns the schema of a body with its definitions inlined."""
    schema = body.model_json_schema()
    made: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}))
    return made


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in node.items()}
