"""A bi-encoder whose passages are encoded by workers on a Ray cluster: Ray Data sends them blocks of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cli.ray_cluster import ray_cluster
from retrieval.bi_encoder import BATCH, BiEncoder, Vectors

_BLOCK = 4 * BATCH  # texts that a worker encodes at a time; encoded again where it dies


class RayBiEncoder(BiEncoder):
    """As `BiEncoder`; queries are encoded here. Every node needs limrank and the model under the same name."""

    def __init__(
        self, model: str | Path, address: str, *, max_tokens: int | None = None, prompted: bool = True
    ) -> None:
        """`address`: of the cluster, as `cli.ray_cluster` takes it."""
        super().__init__(model, max_tokens=max_tokens, prompted=prompted)
        self._worker_arguments = (str(model), max_tokens, prompted)
        self._address = address

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """See `BiEncoder.encode_passages`. A worker has one GPU, or one CPU where the cluster has no GPU.

        Raises BadSettings where there is no such cluster.
        """
        if not texts:
            return super().encode_passages(texts)
        found: dict[int, Any] = {}
        with ray_cluster(self._address) as ray:
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = context.print_on_execution_start = False
            resources = ray.cluster_resources()
            gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
            blocks = -(-len(texts) // _BLOCK)
            rows = ray.data.from_items(
                [{"place": place, "text": text} for place, text in enumerate(texts)], override_num_blocks=blocks
            )
            encoded = rows.map_batches(
                Worker,
                fn_constructor_args=self._worker_arguments,
                batch_size=_BLOCK,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=max(1, min(gpus or cpus, blocks))),
                **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
            )
            for row in encoded.iter_rows():
                found[int(row["place"])] = row["vector"]
        return np.asarray([found[place] for place in range(len(texts))], dtype=np.float32)


class Worker:
    """Holds the model. Created and called by Ray."""

    def __init__(self, model: str, max_tokens: int | None, prompted: bool) -> None:
        self._encoder = BiEncoder(model, max_tokens=max_tokens, prompted=prompted)

    def __call__(self, block: Any) -> Any:
        vectors = self._encoder.encode_passages([str(text) for text in block["text"]])
        return {"place": block["place"], "vector": vectors}
