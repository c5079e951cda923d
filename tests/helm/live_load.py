"""Calls of every kind that the rules and the dashboard tell apart, sent to a running service."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.waiting import PATIENCE

QUERY = "How is the flu treated?"
PASSAGE = "Rest and fluids help with influenza number"
SIZES = (2, 11, 51)  # one call for each size class that the service tells apart, save the largest, which takes long


@dataclass
class Load:
    """What was sent to `url` with `key`, and how it was answered."""

    url: str
    key: str
    documents: int = 0
    codes: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(
        self,
        body: dict[str, Any],
        path: str = "/rerank",
        timeout: float | httpx.Timeout = PATIENCE,
        **headers: str,
    ) -> int:
        """Send a call; count its documents if it was answered 200."""
        with_key = {"Authorization": f"Bearer {self.key}"} | headers
        code = httpx.post(self.url + path, json=body, headers=with_key, timeout=timeout).status_code
        with self._lock:
            self.codes.append(code)
            if code == 200:
                self.documents += len(body.get("documents") or body.get("texts") or body.get("passages") or ())
        return code

    def leave(self, documents: int) -> None:
        """Send a call and hang up before its answer."""
        try:
            self.call({"query": QUERY, "documents": passages(documents)}, timeout=httpx.Timeout(PATIENCE, read=0.3))
        except httpx.ReadTimeout:
            return
        raise AssertionError(f"{documents} documents were answered before the caller could leave")

    def run(self) -> None:
        """All kinds of calls; those of several sizes at once, so that some of them wait."""
        with ThreadPoolExecutor(len(SIZES)) as pool:
            bodies = [{"query": QUERY, "documents": passages(size)} for size in SIZES]
            assert set(pool.map(self.call, bodies)) == {200}
        self.leave(400)
        two, blank = passages(2), ["", "Bread rises because of yeast."]
        reasoning = {"query": QUERY, "documents": two, "mode": "reasoning", "max_reasoning_tokens": 4}
        assert self.call(reasoning) == 200
        assert self.call({"query": QUERY, "documents": blank, "max_tokens_per_doc": 2}) == 200
        assert self.call({"query": QUERY, "texts": two}) == 200
        nim = {"model": "any", "query": {"text": QUERY}, "passages": [{"text": text} for text in two]}
        assert self.call(nim, path="/v1/ranking") == 200
        assert self.call({"query": QUERY}) == 400
        assert self.call({"query": QUERY, "documents": two}, Authorization="Bearer wrong") == 401


def passages(count: int) -> list[str]:
    """So many different passages of some ten tokens."""
    return [f"{PASSAGE} {number}." for number in range(count)]
