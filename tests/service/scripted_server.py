"""The real server around a scripted engine, as a process: for what needs an engine that can be slow, stuck or dead.

The passage `stuck` never gets a verdict and `die` kills the engine. Arguments are
those of limrank-serve; LIMRANK_TEST_SECONDS_PER_DOCUMENT is the time each document takes.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from service.api.app import create_app
from service.api.server import Drain, Listener, bind, serve
from service.http.connections import Connections
from service.http.limits import default_connections
from service.settings import Settings, from_command_line
from service.telemetry.logs import configure_logging
from tests.fakes import ScriptedEngine


class MortalEngine(ScriptedEngine):
    """Dies and gets stuck on request."""

    async def _work(self, passage: str) -> None:
        if passage == "stuck":
            await asyncio.Event().wait()
        if passage == "die":
            self.dead = True
        await super()._work(passage)


def main() -> None:
    arguments = sys.argv[1:]
    seconds = float(os.environ.pop("LIMRANK_TEST_SECONDS_PER_DOCUMENT", "0"))
    settings = from_command_line(arguments, os.environ)
    configure_logging(settings.log_level)
    sys.exit(uvloop.run(_serve(settings, MortalEngine(seconds=seconds, window=16))))


async def _serve(settings: Settings, engine: ScriptedEngine) -> int:
    composition = create_app(settings, engine)
    drain = Drain(settings.drain_delay, settings.drain_budget)
    room = Connections(settings.max_connections or default_connections())
    listener = Listener(composition.app, bind(settings.host, settings.port), room)
    return await serve(composition, [listener], drain)


if __name__ == "__main__":
    main()
