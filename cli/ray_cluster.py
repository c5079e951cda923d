"""A connection to a Ray cluster, shared by all of a process that use one. Ray is an extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli.errors import BadSettings


@contextmanager
def ray_cluster(address: str) -> Iterator[Any]:
    """The library, connected to the cluster at `address` (`auto`, `local`, `HOST:PORT`) while the block runs; inside of
    another such block its connection is used.

    Raises BadSettings without Ray, or where there is no cluster.
    """
    ray = _library()
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BadSettings(f"'ray' is {address!r}: {said}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _library() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports to Ray from a cluster started here
    try:
        import ray
        import ray.data
    except ImportError:
        raise BadSettings("--ray needs Ray (in the project's folder: pip install '.[ray]').") from None
    return ray
