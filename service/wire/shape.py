"""The three shapes of bodies. The keys of a body decide which one it has, whatever the path.

A new shape is a module beside `cohere`, `tei` and `nim`, and a row in `SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.errors import BadRequest, BodyTooLarge, EngineFailed, PassageTooLong, ServiceError, UnknownModel
from service.ranking import Ranking, RerankCall
from service.wire import cohere, cohere_answer, nim, tei
from service.wire.fields import WireBody


@dataclass(frozen=True, slots=True)
class WireLimits:
    """The limits of a request, and the model names it may use: the first is the served one, `*` allows any.

    `body_seconds`: how long its body may take to arrive; `max_batch_requests`: queries of one call.
    """

    model_names: tuple[str, ...]
    max_documents: int
    max_body_bytes: int
    body_seconds: float
    max_batch_requests: int = 1000


class WireRequest(Protocol):
    """A valid request: its call, the metric label of its shape, and the answer in the same shape."""

    @property
    def call(self) -> RerankCall: ...

    @property
    def label(self) -> str: ...

    def answer(self, ranking: Ranking) -> Any:
        """Returns the body of the answer, ready for JSON."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the shapes.

    `items` is the key that identifies it and holds the documents; `label` is its name in metrics, which a valid request
    may refine. `read(data, path)` raises BadRequest naming the field that does not fit.
    """

    items: str
    label: str
    body: type[WireBody]
    answer: Any
    read: Callable[[dict[str, Any], str], WireRequest]
    error_body: Callable[[ServiceError, str | None], tuple[int, Mapping[str, Any]]] = cohere_answer.error_body


SHAPES = (
    Shape("documents", "cohere", cohere.CohereBody, cohere_answer.CohereAnswer, cohere.read),
    Shape(
        "texts",
        "tei",
        tei.TeiBody,
        list[tei.TeiResult],
        read=lambda data, path: tei.read(data),
        error_body=lambda error, request_id: tei.error_body(error),
    ),
    Shape("passages", "nim", nim.NimBody, nim.NimAnswer, read=lambda data, path: nim.read(data)),
)
SUPERSET = SHAPES[0]
_BY_LABEL = {shape.label: shape for shape in SHAPES}
# The key of a body that holds what there can be too much of. `voyage` is a label of the superset too.
_ITEMS = {shape.label: shape.items for shape in SHAPES} | {
    "voyage": SUPERSET.items,
    "batch": "requests",
    "decisions": "questions",
    "systemone": "questions",
}


def shape_of(data: dict[str, Any]) -> Shape:
    """Returns the shape of a body; null = absent. Raises BadRequest if the keys of several are there, or of none."""
    present = [shape for shape in SHAPES if data.get(shape.items) is not None]
    if not present:
        raise BadRequest("documents is missing: send documents, texts or passages.", field="documents")
    if len(present) > 1:
        keys = [shape.items for shape in present]
        raise BadRequest(f"{' and '.join(keys)} were both sent; send only one of them.", field=keys[1])
    return present[0]


def check_size(data: dict[str, Any], shape: Shape, limit: int) -> None:
    """Raises BodyTooLarge if there are more than `limit` items."""
    key, items = shape.items, data[shape.items]
    if isinstance(items, list) and len(items) > limit:
        raise BodyTooLarge(f"{key} holds {len(items)} items, more than the limit of {limit}; send fewer.", field=key)


def check_model(name: str | None, served: Sequence[str]) -> None:
    """Raises UnknownModel for a model name that is not among those `served`."""
    if name and name not in served and "*" not in served:
        raise unknown_model(name, served)


def unknown_model(name: str, served: Sequence[str]) -> UnknownModel:
    """Returns the error for a model that is not served."""
    shown = name if len(name) <= 80 else name[:80] + "..."
    return UnknownModel(f"model {shown!r} is not served here; use one of: {', '.join(served)}.", field="model")


def error_body(error: ServiceError, label: str | None, request_id: str | None) -> tuple[int, Mapping[str, Any]]:
    """Returns status and body of `error` in the shape labelled `label`; without one, the superset's."""
    shape = _BY_LABEL.get(label or "", SUPERSET)
    if (index := _faulty_index(error)) is not None:
        error.field = f"{shape.items}[{index}]"
    elif isinstance(error, BodyTooLarge) and label is not None:  # the body was read, so it holds too many items
        error.field = _ITEMS.get(label, error.field)
    return shape.error_body(error, request_id)


def _faulty_index(error: ServiceError) -> int | None:
    """Returns the index of the item that the error is about, if it is about one."""
    if isinstance(error, PassageTooLong):
        return error.index
    return error.indices[0] if isinstance(error, EngineFailed) and error.indices else None
