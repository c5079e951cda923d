"""What of several nodes cannot work is one sentence before anything is loaded."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from service.engines.vllm.several_nodes import check_nodes
from service.errors import EngineOptionError


@pytest.mark.parametrize(
    ("extra", "copies", "sentence"),
    [
        ({"nnodes": 2}, 1, "holds 'nnodes', with which every node runs a server of its own"),
        ({"node_rank": 1}, 1, "over nodes by Ray alone"),
        ({"data_parallel_rank": 0}, 2, "holds 'data_parallel_rank'"),
        ({"data_parallel_external_lb": True}, 2, "holds 'data_parallel_external_lb'"),
        ({"distributed_executor_backend": "external_launcher"}, 1, "say 'ray', 'mp' or nothing"),
        ({"data_parallel_size_local": 1}, 4, "other nodes get copies only with"),
    ],
)
def test_what_cannot_work_is_refused(extra: dict[str, Any], copies: int, sentence: str) -> None:
    with pytest.raises(EngineOptionError) as refused:
        check_nodes(extra, copies)
    assert sentence in str(refused.value)


def test_ray_must_be_installed_and_have_copies_to_place() -> None:
    ray = {"data_parallel_backend": "ray"}
    if find_spec("ray") is None:
        for extra in (ray, {"distributed_executor_backend": "ray"}):
            with pytest.raises(EngineOptionError, match="Ray is not installed"):
                check_nodes(extra, 2)
        return
    with pytest.raises(EngineOptionError, match="--data-parallel-size is 1; raise it"):
        check_nodes(ray, 1)
    check_nodes(ray | {"data_parallel_size_local": 1}, 4)
    check_nodes({"distributed_executor_backend": "ray", "pipeline_parallel_size": 2}, 1)


def test_one_node_says_nothing() -> None:
    check_nodes({}, 1)
    check_nodes({"distributed_executor_backend": "mp", "data_parallel_size_local": 2}, 2)
