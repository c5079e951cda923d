"""What a service can do, asked of the service itself before it is loaded."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

ALL = ("direct", "reasoning")


def modes(host: str, key: str) -> tuple[str, ...]:
    """The modes that `GET /info` states; all of them where nobody answers, so that the run shows what is wrong."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{host.rstrip('/')}/info", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return tuple(json.load(answer)["modes"])
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return ALL
