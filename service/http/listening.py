"""How a listening socket is polled, so that a burst of connections is taken at once."""

from __future__ import annotations

import resource
import socket

ACCEPTED_AT_ONCE = 16
"""Connections that are taken each time the event loop turns, where descriptors are plenty."""
_SHARE = 64  # of the descriptors, one of so many is for this


def accepting(bound: socket.socket) -> list[socket.socket]:
    """The socket and further descriptors of it, for servers that share them; whoever serves closes all of them.

    The event loop takes one connection from each descriptor of a listening socket when it turns (libuv, pull request
    3696). With a single one, a probe that comes behind a hundred connections waits for a hundred turns, of tens of
    milliseconds each where bodies of megabytes arrive.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ACCEPTED_AT_ONCE if soft == resource.RLIM_INFINITY else min(ACCEPTED_AT_ONCE, soft // _SHARE)
    return [bound, *(bound.dup() for _ in range(most - 1))]
