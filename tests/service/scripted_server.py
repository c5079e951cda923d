"""The real server around a scripted engine, as a process: for what needs an engine that can be slow, stuck or dead.

The passage `stuck` never gets a verdict and `die` kills the engine. `HELD` gets one when the file LIMRANK_TEST_GO is
there, and so does every passage after the first LIMRANK_TEST_FREE. Arguments are those of limrank-serve;
LIMRANK_TEST_SECONDS_PER_DOCUMENT is the time each document takes, LIMRANK_TEST_FILES the most files it may open.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import uvloop

from service.api.app import create_app
from service.api.server import Drain, Listener, bind, serve
from service.http.connections import Connections
from service.http.limits import default_connections
from service.scheduling.start_check import OTHER, RELEVANT
from service.scheduling.watchdog import PROBE_PASSAGE, UNLIKE
from service.settings import Settings, from_command_line
from service.telemetry.logs import configure_logging
from tests.fakes import ScriptedEngine

_OWN = {*UNLIKE, RELEVANT, OTHER}  # what a server scores by itself at its start
HELD = "held" * 100  # so many tokens that it is the last of its call


@dataclass
class MortalEngine(ScriptedEngine):
    """Dies, waits and gets stuck on request."""

    go: Path = Path("nowhere")
    free: int | None = None

    async def _work(self, passage: str) -> None:
        if passage == "stuck":
            await asyncio.Event().wait()
        if passage == "die":
            self.dead = True
        if self._is_held(passage):
            while not self.go.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
        await super()._work(passage)

    def _is_held(self, passage: str) -> bool:
        if self.free is not None and not passage.startswith(PROBE_PASSAGE) and passage not in _OWN:
            self.free -= 1
        return passage == HELD or (self.free is not None and self.free < 0)


def main() -> None:
    arguments = sys.argv[1:]
    seconds = float(os.environ.pop("LIMRANK_TEST_SECONDS_PER_DOCUMENT", "0"))
    go, free = Path(os.environ.pop("LIMRANK_TEST_GO", "nowhere")), os.environ.pop("LIMRANK_TEST_FREE", None)
    if files := os.environ.pop("LIMRANK_TEST_FILES", None):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    settings = from_command_line(arguments, os.environ)
    configure_logging(settings.log_level)
    engine = MortalEngine(seconds=seconds, window=16, go=go, free=None if free is None else int(free))
    sys.exit(uvloop.run(_serve(settings, engine)))


async def _serve(settings: Settings, engine: ScriptedEngine) -> int:
    composition = create_app(settings, engine)
    drain = Drain(settings.drain_delay, settings.drain_budget)
    room = Connections(settings.max_connections or default_connections())
    listener = Listener(composition.app, bind(settings.host, settings.port), room, settings.cors_origins)
    return await serve(composition, [listener], drain)


if __name__ == "__main__":
    main()
