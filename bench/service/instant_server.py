"""The service with a real tokenizer and an engine that answers immediately: the cost of a call without the model.

The metrics page reports the time inside the tokenizer library, as processor seconds of the calling thread
(`instant_tokenizer_seconds_total`). Takes the arguments of limrank-serve.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import uvloop
from prometheus_client import CollectorRegistry, Counter
from tokenizers import Tokenizer

from bench.engines.engine_bench import MODEL
from contract.segments import Segments
from service.api.app import create_app
from service.api.server import Drain, Listener, bind, serve
from service.engine import Capabilities, Completion, Health, Output, Prompt, Scoring, Series
from service.engines.causal.prompts import CausalEncoder
from service.http.connections import Connections
from service.http.limits import default_connections
from service.models.store import resolve
from service.settings import Settings, from_command_line
from service.telemetry.logs import configure_logging

_MAX_TOKENS = 8192


class TimedTokenizer:
    """A tokenizer that accumulates the processor time of its calls."""

    def __init__(self, tokenizer: Tokenizer, seconds: Counter) -> None:
        self._tokenizer = tokenizer
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._tokenizer, name)
        if not callable(attribute):
            return attribute

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return attribute(*arguments, **options)
            finally:
                self._seconds.inc(time.thread_time() - start)

        return timed


class InstantEngine:
    """Answers every prompt without computing. Answers differ from passage to passage, because the service refuses an
    engine that gives all texts the same score."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        seconds = Counter("instant_tokenizer_seconds", "Inside the tokenizer library.", registry=registry)
        checkpoint = resolve(MODEL)
        assert checkpoint.manifest.format is not None
        tokenizer = TimedTokenizer(Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json")), seconds)
        self.encoder = CausalEncoder(Segments(checkpoint.manifest.format, cast(Tokenizer, tokenizer)), _MAX_TOKENS)
        self.metrics = (Series(registry, "instant_"),)
        self.capabilities = Capabilities(
            engine="instant",
            engine_version="0",
            dtype="float32",
            device="none",
            scoring=frozenset({Scoring.DIRECT}),
            window=64,
            window_tokens=10**9,
            behind_tokens=10**9,
            max_model_tokens=_MAX_TOKENS,
            max_reasoning_tokens=512,
        )

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        for index, prompt in enumerate(prompts):
            yield Completion(index, (sum(prompt.rest) % 1000 / 1000, 0.0))

    async def health(self) -> Health:
        return Health(ready=True, alive=True)

    async def close(self) -> None:
        await asyncio.sleep(0)


def main() -> None:
    settings = from_command_line(sys.argv[1:], os.environ)
    configure_logging(settings.log_level)
    sys.exit(uvloop.run(_serve(settings)))


async def _serve(settings: Settings) -> int:
    composition = create_app(settings, InstantEngine())
    room = Connections(settings.max_connections or default_connections())
    listener = Listener(composition.app, bind(settings.host, settings.port), room)
    return await serve(composition, [listener], Drain(0, 1))


if __name__ == "__main__":
    main()
