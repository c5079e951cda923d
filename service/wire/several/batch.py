"""A batch of rankings: `requests`, each a body with `documents`, and for each a status and a body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import BadRequest, BodyTooLarge, ServiceError
from service.ranking import Ranking, RerankCall
from service.wire import cohere
from service.wire.cohere_answer import CohereAnswer, Error
from service.wire.fields import WireBody, closed, json_kind, read_fields
from service.wire.shape import SHAPES, SUPERSET, WireLimits, check_model, error_body
from service.wire.threshold import with_parameters

LABEL = "batch"


class BatchBody(WireBody):
    """Several requests in one. Each is read by itself, so that no other suffers where one does not fit."""

    requests: Annotated[list[Any], Field(min_length=1)]


@closed
class BatchResult(TypedDict):
    status: Annotated[int, Field(description="The status that the request would have got by itself.")]
    body: CohereAnswer | Error


@closed
class BatchAnswer(TypedDict):
    """In the order of the requests."""

    results: list[BatchResult]


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch: each of its requests, or why it is none."""

    requests: tuple[cohere.CohereRequest | ServiceError, ...]

    @property
    def calls(self) -> list[RerankCall]:
        """Those that can be ranked, in their order."""
        return [request.call for request in self.requests if isinstance(request, cohere.CohereRequest)]

    @property
    def places(self) -> list[int]:
        """The places of `calls` among the requests."""
        return [place for place, one in enumerate(self.requests) if isinstance(one, cohere.CohereRequest)]

    def answer(self, outcomes: Sequence[Ranking | ServiceError], request_id: str | None) -> BatchAnswer:
        """Returns the body of the answer. `outcomes`: those of `calls`."""
        left = iter(outcomes)
        results: list[BatchResult] = []
        for request in self.requests:
            outcome = request if isinstance(request, ServiceError) else next(left)
            if isinstance(outcome, ServiceError):
                status, error = error_body(outcome, SUPERSET.label, request_id)
                results.append({"status": status, "body": error})  # type: ignore[typeddict-item]  # of the superset
            elif isinstance(request, cohere.CohereRequest):
                results.append({"status": 200, "body": request.answer(outcome)})
        return {"results": results}


def read(data: dict[str, Any], path: str, limits: WireLimits, query: bytes = b"") -> BatchRequest:
    """Reads a body with `requests`, each as if it had come alone with the query string `query`.

    Raises BadRequest for one that is no batch, and BodyTooLarge for one with too many requests or documents in all.
    """
    requests = read_fields(BatchBody, data).requests
    if len(requests) > limits.max_batch_requests:
        raise BodyTooLarge(
            f"requests holds {len(requests)} items, more than the limit of {limits.max_batch_requests}; send fewer.",
            field="requests",
        )
    documents = sum(map(_documents, requests))
    if documents > limits.max_documents:
        raise BodyTooLarge(
            f"requests hold {documents} documents in all, more than the limit of {limits.max_documents}; send fewer.",
            field="requests",
        )
    return BatchRequest(tuple(_read_one(request, path, limits, query) for request in requests))


def _documents(request: Any) -> int:
    documents = request.get(SUPERSET.items) if isinstance(request, dict) else None
    return len(documents) if isinstance(documents, list) else 0


def _read_one(request: Any, path: str, limits: WireLimits, query: bytes) -> cohere.CohereRequest | ServiceError:
    try:
        if not isinstance(request, dict):
            raise BadRequest(f"A request of a batch must be an object, got {json_kind(request)}.", field="requests")
        _check_shape(request)
        read = cohere.read(request, path)
        check_model(read.call.model, limits.model_names)
        call = with_parameters(read.call, query)
    except ServiceError as error:
        return error
    return read if call is read.call else replace(read, call=call)


def _check_shape(request: dict[str, Any]) -> None:
    """Raises BadRequest for a body of another shape, or of several: it would be ranked without a part of it."""
    others = [shape.items for shape in SHAPES if shape is not SUPERSET and request.get(shape.items) is not None]
    if others:
        raise BadRequest(f"{others[0]} was sent; requests of a batch are bodies with documents.", field=others[0])
