"""`POST /v1/rerank/batch`: many rankings in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.api.context import RequestContext
from service.api.paths import BATCH_PATH
from service.api.several.route import Form
from service.ranking import RerankCall
from service.reranker import Member, Outcome
from service.wire.several import batch
from service.wire.several.pruning import pruned_batch
from service.wire.shape import WireLimits


@dataclass(frozen=True, slots=True)
class _Batch:
    request: batch.BatchRequest
    calls: Mapping[int | None, RerankCall]

    def answer(self, outcomes: Sequence[Outcome], context: RequestContext) -> tuple[Any, Mapping[str, str]]:
        """Each request with its own status: the whole is a 200."""
        found = [outcome.ranking if isinstance(outcome, Member) else outcome for outcome in outcomes]
        return self.request.answer(found, context.request_id), {}


def batch_form(limits: WireLimits) -> Form:
    """What is particular to batches."""

    def read(data: dict[str, Any], query: bytes) -> _Batch:
        request = batch.read(data, BATCH_PATH, limits, query)
        return _Batch(request, dict(zip(request.places, request.calls, strict=True)))

    prune = partial(pruned_batch, most_requests=limits.max_batch_requests, most_items=limits.max_documents)
    return Form(batch.LABEL, prune, read)
