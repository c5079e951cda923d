"""Answers to what never reaches the app: heads that cannot be read, and connections beyond the limit."""

from __future__ import annotations

import logging
import uuid

import orjson

from service.errors import BadRequest, HeadTooLarge, ServiceError, Unavailable
from service.http.limits import Refusal, Refuse
from service.telemetry.metrics import OTHER_ROUTE, Metrics
from service.wire.cohere_answer import error_body

_RETRY_AFTER_SECONDS = 2.0
_log = logging.getLogger("limrank.access")


def refuser(metrics: Metrics) -> Refuse:
    """Makes such answers: the error body that every client can read, a request id, a metric and an access line."""

    def refuse(status: int, sentence: str) -> Refusal:
        error, reason = _error(status, sentence)
        request_id = uuid.uuid4().hex
        metrics.rejected.labels(reason).inc()
        fields = {"method": "other", "route": OTHER_ROUTE, "status": status, "error": error.kind}
        _log.info("request", extra={**fields, "request_id": request_id})
        headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
        if error.retry_after is not None:
            headers.append((b"retry-after", str(round(error.retry_after)).encode()))
        return Refusal(headers, orjson.dumps(error_body(error, request_id)[1]))

    return refuse


def _error(status: int, sentence: str) -> tuple[ServiceError, str]:
    """The error and the label of its metric."""
    if status == Unavailable.status:
        reason = "connections"
        return Unavailable(sentence, reason=reason, retry_after=_RETRY_AFTER_SECONDS), reason
    if status == HeadTooLarge.status:
        return HeadTooLarge(sentence), "head_too_large"
    return BadRequest(sentence), "bad_head"
