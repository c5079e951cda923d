"""A reranker over an engine, with the parts that a test looks at: what all tests of ranking build."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from contract.adaptive.parameters import Gate
from contract.adaptive.reaching import Reaching
from contract.verdict import Temperatures
from service.engine import Engine
from service.lifecycle import Lifecycle, Phase
from service.planning import Defaults
from service.ranking import Key, Listener, Mode, Ranking, RerankCall
from service.reranker import Outcome, Reranker
from service.scheduling.admission import Admission, Leaving, never
from service.scheduling.encoding import EncodingPool
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.shares import QueueLimits
from service.scheduling.throughput import Throughput
from service.scheduling.window import Window
from service.stages.cascade import Cascade, Keep, Line
from service.stages.fusion import Fusing
from service.stages.parts import Parts
from service.stages.remembering import Remembering
from service.stages.score_cache import ScoreCache
from service.stages.scoring import Scorer
from service.stages.stage import Stage
from service.strategies.choosing import NOT_FITTED
from service.telemetry.metrics import Metrics

DEFAULTS = Defaults(
    model="m", mode=Mode.DIRECT, reasoning_tokens=64, most_reasoning_tokens=256, tokens_per_doc=None, timeout=60
)
KEY = Key("test", priority=0)

Kind = TypeVar("Kind", bound=Engine)


class Service(Generic[Kind]):
    """`first`: the engine of a cascade's first stage, which leaves `keep` documents, or those that `reaching` says.
    Keywords beside those of the
    constructor replace fields of `DEFAULTS`."""

    def __init__(
        self,
        engine: Kind,
        *,
        gate: Gate = NOT_FITTED,
        cache: ScoreCache | None = None,
        first: Engine | None = None,
        keep: int | None = None,
        reaching: Reaching | None = None,
        queue: int = 100,
        tokens: int = 10**6,
        **defaults: Any,
    ) -> None:
        self.engine, self.cache = engine, cache
        self.lifecycle = Lifecycle()
        self.lifecycle.phase = Phase.READY
        self.metrics, self.limiter = Metrics(), RateLimiter()
        throughput = Throughput()
        self.window = Window(engine, engine.capabilities.window, throughput)
        self.admission = Admission(self.window, self.lifecycle, QueueLimits(queue, tokens), throughput)
        self.parts = Parts(
            self.admission,
            engine.capabilities,
            EncodingPool(engine.encoder),
            Temperatures(),
            dataclasses.replace(DEFAULTS, **defaults),
            self.limiter,
            self.metrics,
            gate,
        )
        stage: Stage = self.remembering(self.parts, "second")
        if first is None:
            stage = Fusing(stage)
        else:
            self.first = self.of_first(first, QueueLimits(queue, tokens))
            line = Line(self.first, self.remembering(self.first, "first"))
            stage = Cascade(line, Line(self.parts, stage), Keep(keep, reaching))
        self.reranker = Reranker(self.parts, stage)

    def remembering(self, parts: Parts, name: str) -> Stage:
        return Scorer(parts) if self.cache is None else Remembering(Scorer(parts), parts, name, self.cache)

    def of_first(self, engine: Engine, limits: QueueLimits) -> Parts:
        throughput = Throughput()
        window = Window(engine, engine.capabilities.window, throughput)
        return dataclasses.replace(
            self.parts,
            admission=Admission(window, self.lifecycle, limits, throughput),
            capabilities=engine.capabilities,
            encoding=EncodingPool(engine.encoder),
            gate=NOT_FITTED,
        )

    async def rank(
        self,
        passages: Sequence[str],
        key: Key = KEY,
        timeout_ms: int | None = None,
        leaves: Leaving = never,
        listener: Listener | None = None,
        **fields: Any,
    ) -> Ranking:
        """Fields of the call beside its passages; its query is `q` where they name none."""
        call = RerankCall(**{"query": "q", "passages": tuple(passages), "documents": tuple(passages)} | fields)
        return await self.reranker.rank(
            call,
            key=key,
            received=time.monotonic(),
            timeout_ms=timeout_ms,
            client_leaves=leaves,
            listener=listener,
        )

    async def rank_call(self, call: RerankCall, key: Key = KEY) -> Ranking:
        return await self.reranker.rank(call, key=key, received=time.monotonic(), timeout_ms=None)

    async def rank_all(self, *calls: RerankCall, key: Key = KEY, timeout_ms: int | None = None) -> list[Outcome]:
        return await self.reranker.rank_all(calls, key=key, received=time.monotonic(), timeout_ms=timeout_ms)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
