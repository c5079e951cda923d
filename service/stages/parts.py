"""What the stages of a model share, and the figures of a call that depend on the model."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from contract.adaptive.parameters import Gate
from contract.verdict import Temperatures
from service.engine import Capabilities, Completion, Limits
from service.planning import Defaults, Plan
from service.ranking import Mode, RerankCall, Timings
from service.scheduling.admission import Admission
from service.scheduling.encoding import CallText, EncodingPool
from service.scheduling.rate_limit import RateLimiter
from service.strategies.choosing import NOT_FITTED
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Parts:
    """One model with what calls to it pass through. `gate`: what adaptive mode does with it; `clock` gives monotonic
    seconds."""

    admission: Admission
    capabilities: Capabilities
    encoding: EncodingPool
    temperatures: Temperatures
    defaults: Defaults
    limiter: RateLimiter
    metrics: Metrics
    gate: Gate = NOT_FITTED
    clock: Callable[[], float] = time.monotonic

    def log_odds(self, completion: Completion) -> float:
        """The calibrated log-odds of a verdict."""
        temperature = self.temperatures.after(completion.reasoning_tokens)
        return self.encoding.reading.score(completion.answers, temperature).raw

    def text(self, plan: Plan) -> CallText:
        """What is to be encoded of a call."""
        call = plan.call
        return CallText(call.query, call.instruction, call.passages, plan.limits, self.defaults.cutting(call))

    def least_tokens(self, call: RerankCall, limits: Limits, mode: Mode) -> int:
        """The fewest tokens that the call can come to, as far as its characters tell."""
        least = self.encoding.least_tokens
        longest = min(self.capabilities.max_model_tokens, self.encoding.least_room(limits.budget))
        if limits.passage_tokens is not None:
            longest = min(longest, limits.passage_tokens)
        elif self.defaults.chunks_asked(call):
            longest = sys.maxsize
        reasoning = limits.budget * len(call.passages) if mode is Mode.REASONING else 0
        return least(call.passages, longest) + least((call.query,), sys.maxsize) + reasoning

    def part(self, plan: Plan, indices: Sequence[int]) -> Plan:
        """The plan of the same call with only these of its documents, in this order."""
        call = replace(plan.call, passages=tuple(plan.call.passages[index] for index in indices), documents=())
        least = self.least_tokens(call, plan.limits, plan.mode)
        return replace(plan, call=call, incoming=replace(plan.incoming, documents=len(indices), least_tokens=least))

    def timings(self, received: float, begun: float, encoding: float) -> Timings:
        """Of a call that is scored by now. `begun`: when its first document entered the engine; `encoding` in
        seconds."""
        done = self.clock()
        return Timings(
            total=(done - received) * 1000,
            queue=max(0.0, begun - received - encoding) * 1000,
            tokenize=encoding * 1000,
            inference=(done - begun) * 1000,
        )
