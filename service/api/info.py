"""Describes the served model: the entries of `GET /v1/models`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of `GET /v1/models`. `created` in seconds since 1970, `max_model_len` in tokens."""

    id: str
    created: int
    max_model_len: int
    owned_by: str = "limrank"
