"""Reads a batch of very many values without making those that nothing is ranked by. See `service.wire.pruning`."""

from __future__ import annotations

from typing import Any

import msgspec

from service.wire.pruning import check_text, pruned, skip, stand_in
from service.wire.structure import items_of


class _Batch(msgspec.Struct, gc=False):
    requests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def pruned_batch(content: bytes, most_requests: int, most_items: int) -> Any:
    """Returns the value of a batch, with stand-ins for what is not read. A list of over `most_requests` requests holds
    as many nulls; each request is read as `pruned` reads a body. To be called in a thread. Raises as `pruned` does."""
    check_text(content)
    if content.lstrip(b" \t\n\r")[:1] != b"{":
        return stand_in(skip(content, msgspec.Raw))
    raw = skip(content, _Batch).requests
    if raw is msgspec.UNSET:
        return {}
    requests = bytes(raw)
    if requests[:1] != b"[":
        return {"requests": stand_in(requests)}
    count = items_of(requests)
    if count > most_requests:
        return {"requests": [None] * count}
    return {"requests": [pruned(bytes(item), most_items) for item in skip(requests, list[msgspec.Raw])]}
