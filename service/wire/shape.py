"""Which of the three shapes a body has: its keys decide, whatever the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from service.errors import BadRequest, BodyTooLarge, EngineFailed, PassageTooLong, ServiceError
from service.ranking import Ranking, RerankCall
from service.wire import cohere, nim, tei

Items = Literal["documents", "texts", "passages"]
_ITEMS: tuple[Items, ...] = ("documents", "texts", "passages")
_ITEMS_OF_LABEL: dict[str | None, Items] = {"tei": "texts", "nim": "passages"}


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What a request may hold, and the model names it may use: the first is the served one, `*` allows any.

    `body_seconds`: how long its body may take to arrive.
    """

    model_names: tuple[str, ...]
    max_documents: int
    max_body_bytes: int
    body_seconds: float


class WireRequest(Protocol):
    """A valid request: the call in it, the shape's name as a metric label, and the answer in the same shape."""

    @property
    def call(self) -> RerankCall: ...

    @property
    def label(self) -> str: ...

    def answer(self, ranking: Ranking) -> dict[str, Any] | list[dict[str, Any]]: ...


def items_key(data: dict[str, Any]) -> Items:
    """The key that holds what is to be ranked; null = absent. Raises BadRequest when there are several, or none."""
    present = [key for key in _ITEMS if data.get(key) is not None]
    if not present:
        raise BadRequest("documents is missing: send documents, texts or passages.", field="documents")
    if len(present) > 1:
        raise BadRequest(f"{' and '.join(present)} were both sent; send only one of them.", field=present[1])
    return present[0]


def check_size(data: dict[str, Any], key: Items, limit: int) -> None:
    """Raise BodyTooLarge when there are more than `limit` items."""
    items = data[key]
    if isinstance(items, list) and len(items) > limit:
        raise BodyTooLarge(f"{key} holds {len(items)} items, more than the limit of {limit}; send fewer.", field=key)


def read_request(data: dict[str, Any], key: Items, path: str) -> WireRequest:
    """The request in `data`. Raises BadRequest naming the field that does not fit."""
    match key:
        case "documents":
            return cohere.read(data, path)
        case "texts":
            return tei.read(data)
        case "passages":
            return nim.read(data)


def _faulty_index(error: ServiceError) -> int | None:
    """The index of the item that an error is about, where it is about one."""
    if isinstance(error, PassageTooLong):
        return error.index
    return error.indices[0] if isinstance(error, EngineFailed) and error.indices else None


def error_body(error: ServiceError, label: str | None, request_id: str | None) -> tuple[int, dict[str, Any]]:
    """Status and body of `error` in the shape named `label`; None, before the shape is known, gets the superset."""
    items = _ITEMS_OF_LABEL.get(label, "documents")
    if (index := _faulty_index(error)) is not None:
        error.field = f"{items}[{index}]"
    elif isinstance(error, BodyTooLarge) and label is not None:  # the body was read, so it holds too many items
        error.field = items
    return tei.error_body(error) if label == "tei" else cohere.error_body(error, request_id)
