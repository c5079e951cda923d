"""One endpoint asked from every node of a Ray cluster.

With an address such as http://127.0.0.1:8000/v1 each node asks its own server, so that a judge that runs on every node
has the questions spread over all of them. The run, its journal and its budget stay in this process.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from cli.ray_cluster import ray_cluster
from llm.base import NoReply, Question, Reply
from llm.endpoint import Endpoint
from llm.openai import OpenAILLM, check_key
from llm.process import answer, question_from_json, question_to_json, read_answer
from llm.processes import part_of


class LLMOnRay:
    """An `LLM`. Every node gets an even part of the limits of `endpoint`, whose `ray` is the cluster's address.

    Raises `BadSettings` without Ray, or where there is no cluster.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        secret = check_key(endpoint)
        self._opened = ExitStack()
        ray = self._opened.enter_context(ray_cluster(endpoint.ray))
        self._died = ray.exceptions.RayError
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        shares = endpoint.model_copy(update={"processes": len(nodes)}).concurrency_shares()
        self._load = [0] * len(shares)
        actor = ray.remote(Asking)
        self._actors = [
            actor.options(
                num_cpus=0,
                max_restarts=-1,
                max_concurrency=share,
                scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=True),
            ).remote(_part(endpoint, share, len(shares)), secret)
            for node, share in zip(nodes, shares, strict=False)
        ]

    async def ask(self, question: Question) -> Reply:
        """One reply, by the node with the least to do. A node that dies has given none."""
        place = min(range(len(self._load)), key=self._load.__getitem__)
        self._load[place] += 1
        try:
            said = await self._actors[place].ask.remote(question_to_json(question))
        except self._died as error:
            raise NoReply(f"broken: {type(error).__name__} on a node", "", final=False) from None
        finally:
            self._load[place] -= 1
        return read_answer(said)

    async def close(self) -> None:
        try:
            for actor in self._actors:
                await actor.close.remote()
        except self._died:
            pass  # its connections died with it
        self._actors.clear()  # Ray ends actors that nobody refers to
        self._opened.close()


class Asking:
    """An actor on a node. Created and called by Ray."""

    def __init__(self, endpoint: Endpoint, secret: str) -> None:
        if endpoint.key_variable:
            os.environ[endpoint.key_variable] = secret
        self._llm = OpenAILLM(endpoint)

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        return await answer(self._llm, question_from_json(question))

    async def close(self) -> None:
        await self._llm.close()


def _part(endpoint: Endpoint, share: int, count: int) -> Endpoint:
    limits = {name: part_of(getattr(endpoint, name), count) for name in ("requests_per_minute", "tokens_per_minute")}
    return endpoint.model_copy(update=limits | {"concurrency": share, "processes": 1, "ray": ""})
