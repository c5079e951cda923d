"""What the routes need from the rest of the service, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from service.auth import Key
from service.ranking import Progress, Ranking, RerankCall


class RanksCalls(Protocol):
    """The use case behind the routes."""

    async def rank(
        self, call: RerankCall, *, key: Key, received: float, timeout_ms: int | None, progress: Progress
    ) -> Ranking:
        """Rank a call's documents; cancelling the task frees their work.

        `received` is the `time.monotonic()` instant of the body's last byte, `timeout_ms` what the caller grants.
        """
        ...


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What a request may hold, and the model names it may use: the first is the served one, `*` allows any.

    `body_seconds`: how long its body may take to arrive.
    """

    model_names: tuple[str, ...]
    max_documents: int
    max_body_bytes: int
    body_seconds: float


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of `GET /v1/models`. `created` in seconds since 1970, `max_model_len` in tokens."""

    id: str
    created: int
    max_model_len: int
    owned_by: str = "limrank"
