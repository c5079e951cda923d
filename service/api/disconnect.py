"""Tells when the client of a request has disconnected."""

from __future__ import annotations

from starlette.types import Receive


async def client_leaves(receive: Receive) -> None:
    """Returns once the client has closed the connection. `receive` must have delivered the whole request body."""
    while (await receive())["type"] != "http.disconnect":
        pass
