"""Which of vLLM's ways to spread over nodes work with one server: Ray's, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from service.errors import EngineOptionError

_BACKENDS = ("distributed_executor_backend", "data_parallel_backend")
# Each is about a server or a headless engine on every node, which vLLM's own command starts.
_A_SERVER_ON_EACH = (
    *("nnodes", "node_rank", "master_addr", "master_port"),
    *("data_parallel_rank", "data_parallel_start_rank", "data_parallel_address", "data_parallel_rpc_port"),
    *("data_parallel_hybrid_lb", "data_parallel_external_lb", "data_parallel_multi_port_external_lb"),
)


def check_nodes(extra: Mapping[str, Any], data_parallel_size: int) -> None:
    """Raises EngineOptionError for arguments that cannot work here."""
    for name in _A_SERVER_ON_EACH:
        if name in extra:
            raise EngineOptionError(
                f"--vllm-args holds {name!r}, with which every node runs a server of its own; this one spreads a model "
                'over nodes by Ray alone: \'{"distributed_executor_backend": "ray"}\' (docs/vllm.md).'
            )
    if extra.get("distributed_executor_backend") == "external_launcher":
        raise EngineOptionError(
            "--vllm-args has 'external_launcher' for distributed_executor_backend, which needs one process of this "
            "program for each GPU; say 'ray', 'mp' or nothing."
        )
    over_ray = [name for name in _BACKENDS if extra.get(name) == "ray"]
    if over_ray and find_spec("ray") is None:
        raise EngineOptionError(
            f"--vllm-args has 'ray' for {over_ray[0]}, and Ray is not installed; install it in one version on every "
            "node (pip install 'ray[cgraph]')."
        )
    if "data_parallel_backend" in over_ray and data_parallel_size < 2:
        raise EngineOptionError(
            f"--vllm-args has 'ray' for data_parallel_backend, and --data-parallel-size is {data_parallel_size}; raise "
            "it, or leave the backend out."
        )
    local = extra.get("data_parallel_size_local")
    if local is not None and local != data_parallel_size and "data_parallel_backend" not in over_ray:
        raise EngineOptionError(
            f"--vllm-args has {local!r} for data_parallel_size_local, and --data-parallel-size is "
            f"{data_parallel_size}; other nodes get copies only with "
            '\'{"data_parallel_backend": "ray"}\'.'
        )
