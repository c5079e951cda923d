"""Kinds of values that settings have: lists, objects, counts, seconds, addresses."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _split(value: Any) -> Any:
    """A list in a flag or an environment value is written with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _object(value: Any) -> Any:
    """An object in a flag or an environment value is written as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f'is not JSON ({error}); write it like {{"enforce_eager": true}}') from error


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Arguments = Annotated[dict[str, Any], BeforeValidator(_object)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]


# An origin as browsers send it: scheme, host and port, in small letters and without a path.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]*,A-Z]+)(:[0-9]{1,5})?")
_ANY_ORIGIN = "*"


def check_origins(origins: Sequence[str], *, keys: bool) -> None:
    """Raises ValueError for what is no origin, and for all origins where there are `keys`."""
    for origin in origins:
        if origin == _ANY_ORIGIN and keys:
            raise ValueError("--cors-origins * is for servers without keys; name the origins of your pages")
        if origin != _ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"--cors-origins: {origin!r} is no origin; write scheme, host and port as a browser sends them, "
                "such as https://app.example.com"
            )


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach. A name other than `localhost` may mean anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
