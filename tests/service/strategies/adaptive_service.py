"""A reranker in adaptive mode over an engine, and the parts that a test looks at."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from contract.adaptive.parameters import Gate
from contract.verdict import Temperatures
from service.engine import Engine
from service.lifecycle import Lifecycle, Phase
from service.planning import Defaults
from service.ranking import Key, Listener, Mode, Ranking, RerankCall
from service.reranker import Reranker
from service.scheduling.admission import Admission, Leaving, never
from service.scheduling.encoding import EncodingPool
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.shares import QueueLimits
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.telemetry.metrics import Metrics

DEFAULTS = Defaults(
    model="m", mode=Mode.ADAPTIVE, reasoning_tokens=64, most_reasoning_tokens=64, tokens_per_doc=None, timeout=60
)


class Service:
    """Mode adaptive is the default of its calls, which all come from one key."""

    def __init__(self, engine: Engine, gate: Gate, **defaults: Any) -> None:
        lifecycle, throughput = Lifecycle(), Throughput()
        lifecycle.phase = Phase.READY
        self.metrics, self.limiter = Metrics(), RateLimiter()
        self.window = Window(engine, engine.capabilities.window, throughput)
        self.admission = Admission(self.window, lifecycle, QueueLimits(documents=1000, tokens=10**7), throughput)
        self.reranker = Reranker(
            self.admission,
            engine.capabilities,
            EncodingPool(engine.encoder),
            Temperatures(),
            dataclasses.replace(DEFAULTS, **defaults),
            self.limiter,
            self.metrics,
            gate=gate,
        )

    async def rank(
        self,
        passages: list[str],
        timeout_ms: int | None = None,
        leaves: Leaving = never,
        listener: Listener | None = None,
        **fields: Any,
    ) -> Ranking:
        call = RerankCall(query="q", passages=tuple(passages), documents=tuple(passages), **fields)
        received = time.monotonic()
        return await self.reranker.rank(
            call, key=Key("test"), received=received, timeout_ms=timeout_ms, client_leaves=leaves, listener=listener
        )

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
