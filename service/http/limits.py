"""What a connection may cost before a key is known, and the refusals that name these limits."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass

KIBIBYTE = 1024
MEBIBYTE = 1024 * 1024

# Descriptors that connections must leave free: the model's files, the log, key file, both listening sockets
# (`listening`), the metrics' connections, child processes.
_DESCRIPTORS_FOR_FILES = 128
_DESCRIPTORS_FOR_PROBES = 32  # connections beyond the limit, kept for a moment
_MOST_CONNECTIONS = 10_000  # by default, where descriptors are plenty: some 40 KiB of memory each
_FEWEST_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one listener; times in seconds, sizes in bytes.

    A head is the request line with all header fields. `head_seconds` also bounds a new connection without a first byte;
    `idle_seconds` bounds a connection between two requests. `drain_*`: what is read and dropped of a body after its
    request was answered. `write_seconds`: how long a client may take nothing of its answer. A body in more than
    `chunks` chunks must have at least `chunk_bytes` in each, on average.
    """

    head_bytes: int = 64 * KIBIBYTE
    head_fields: int = 256
    chunks: int = 8192
    chunk_bytes: int = 16
    head_seconds: float = 30.0
    idle_seconds: float = 75.0  # longer than the usual 60 s of balancers, so that they close idle connections, not we
    drain_bytes: int = 64 * MEBIBYTE
    drain_seconds: float = 15.0
    write_seconds: float = 30.0
    reserve_head_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is given without the app: its header fields (without length and `connection`) and its body."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


# Makes the answer to a request that never reaches the app, from its status and the sentence that says why.
Refuse = Callable[[int, str], Refusal]


def default_connections() -> int:
    """The most connections by this process's limit of open files, with a reserve for probes and files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    room = soft - min(_DESCRIPTORS_FOR_FILES, soft // 4) - min(_DESCRIPTORS_FOR_PROBES, soft // 8)
    return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, room))
