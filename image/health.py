"""The image's health check: exit 0 while the server that runs in this container says that it is alive."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Ask the port that the server's own environment names, on loopback, past any proxy."""
    url = f"http://127.0.0.1:{os.environ.get('LIMRANK_PORT', '8080')}/health/live"
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=4) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
