"""Everybody at once: one caller of each other kind, and the rest are RAG callers, who make most of the traffic."""

from __future__ import annotations

from collections.abc import Collection

from loadtests.callers import Caller
from loadtests.scenarios.bad_clients import BadClient
from loadtests.scenarios.batch import BatchUser
from loadtests.scenarios.bursts import BurstUser
from loadtests.scenarios.disconnecting import DisconnectingUser
from loadtests.scenarios.rag import RagUser
from loadtests.scenarios.reasoning import ReasoningUser

ONE_OF_EACH: tuple[type[Caller], ...] = (ReasoningUser, BurstUser, DisconnectingUser, BadClient, BatchUser)


def callers(modes: Collection[str]) -> list[type[Caller]]:
    """The callers of the mix for a service with these modes: nobody asks a cross-encoder for its reasons.

    With fewer than six callers, some of the single ones are missing.
    """
    kinds = [kind for kind in ONE_OF_EACH if kind is not ReasoningUser or "reasoning" in modes]
    for kind in kinds:
        kind.fixed_count = 1
    return [RagUser, *kinds]
