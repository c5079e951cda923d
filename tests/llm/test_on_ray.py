"""On a real Ray cluster of this machine: questions asked from its nodes, and passages encoded by its workers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cli.errors import BadSettings
from cli.ray_cluster import ray_cluster
from contract.checkpoint.packaged import minilm
from llm.base import EndpointFailed, Message, Question, Reply
from llm.endpoint import Endpoint
from llm.process import answer, question_from_json, question_to_json, read_answer
from retrieval.bi_encoder import BiEncoder, VectorIndex
from tests.requirements_check import require
from tests.synth.endpoint import Fault, ScriptedEndpoint

QUESTION = Question((Message("user", "is it so?"),), "Answer", {"type": "object"})
TEXTS = [f"Passage {number} is about {'gout' if number % 3 else 'asthma'}." for number in range(300)]
# Ray Data warns of its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    require("ray", present=HAS_RAY, remedy="`make ray` installs it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # 15 otherwise: beside the processes of other tests they hardly move
        with ray_cluster("local") as ray:
            yield ray


async def _ask(endpoint: Endpoint, count: int) -> list[Reply]:
    from llm.on_ray import LLMOnRay

    llm = LLMOnRay(endpoint)
    try:
        return await asyncio.gather(*(llm.ask(QUESTION) for _ in range(count)))
    finally:
        await llm.close()


def test_a_cluster_that_is_not_there_is_one_sentence() -> None:
    # Before the cluster of the tests below: inside of a connection no other is made.
    require("ray", present=HAS_RAY, remedy="`make ray` installs it")
    with pytest.raises(BadSettings, match=r"'ray' is 'nonsense'"), ray_cluster("nonsense"):
        pass


def test_nodes_ask_and_the_replies_come_back(cluster: Any) -> None:
    with ScriptedEndpoint(script=lambda number, body: Fault(content=json.dumps({"so": number}))) as endpoint:
        replies = asyncio.run(_ask(Endpoint(base_url=endpoint.url, model="m", key_variable="", ray="local"), 6))
    assert len({json.loads(reply.text)["so"] for reply in replies}) == 6
    nobody = Endpoint(base_url="http://127.0.0.1:9/v1", model="m", key_variable="", ray="local", retries=0)
    with pytest.raises(EndpointFailed, match="cannot be reached"):
        asyncio.run(_ask(nobody, 1))
    assert cluster.is_initialized(), "the connection is that of the block around"


@pytest.fixture(scope="module")
def index(cluster: Any) -> VectorIndex:
    """Of `TEXTS`, encoded in two blocks by two workers, each of which imports the library and loads the model."""
    from synth.sources.first_stages import vector_index

    return vector_index(TEXTS, minilm() or "", max_tokens=32, ray="local")


def test_workers_encode_as_this_process_does(index: VectorIndex) -> None:
    from retrieval.ray_encoding import RayBiEncoder

    assert isinstance(index._encoder, RayBiEncoder)
    found = index._passages
    expected = BiEncoder(minilm() or "", max_tokens=32, prompted=False).encode_passages(TEXTS)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_it_says_so() -> None:
    with pytest.raises(BadSettings, match="needs Ray"), ray_cluster("local"):
        pass


def test_what_an_actor_says_is_what_was_raised() -> None:
    class Failing:
        async def ask(self, question: Question) -> Reply:
            raise EndpointFailed("it is gone")

        async def close(self) -> None: ...

    assert question_from_json(question_to_json(QUESTION)) == QUESTION
    with pytest.raises(EndpointFailed, match="it is gone"):
        read_answer(asyncio.run(answer(Failing(), QUESTION)))


def test_one_kind_of_place_asks() -> None:
    with pytest.raises(ValueError, match="ray and processes contradict"):
        Endpoint(ray="auto", processes=2)


def test_an_index_is_encoded_on_a_cluster(index: VectorIndex) -> None:
    found = index.search([TEXTS[0], TEXTS[299]], 1)
    assert [hits[0].index for hits in found] == [0, 299]
