"""The server process: listens, stops without losing a call, and exits when the engine has died.

uvicorn closes its listener at the first signal, before balancers have noticed; so signals are handled here. After
SIGTERM the server is not ready at once, still serves for the drain delay, then refuses new calls while running ones
finish, then exits with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from service.api.app import Composition
from service.api.paths import PROBE_PATHS
from service.api.refusals import refuser
from service.errors import CallCut, Unavailable
from service.http.connections import Connections
from service.http.limits import HttpLimits, Refuse
from service.http.listening import accepting
from service.http.protocol import Guard, GuardedConfig
from service.lifecycle import Phase

EXIT_OK = 0
EXIT_ENGINE_DIED = 1
_SECONDS_TO_ANSWER_AFTER_DEATH = 1.0
_RETRY_AFTER_DRAIN_SECONDS = 5.0

_log = logging.getLogger("limrank.server")


@dataclass(frozen=True, slots=True)
class Drain:
    """Seconds: `delay` to keep serving after a stop was requested, `budget` for running calls to finish after that."""

    delay: float
    budget: float


@dataclass(frozen=True, slots=True)
class Listener:
    """An app and the bound socket that serves it. `origins`: of other pages that may read its answers."""

    app: ASGIApp
    socket: socket.socket
    connections: Connections
    origins: Sequence[str] = ()


def bind(host: str, port: int) -> socket.socket:
    """Returns a bound socket that does not listen yet, so that a port in use is detected before a model is loaded.

    Raises OSError if it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def address_of(bound: socket.socket) -> str:
    """Returns the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(composition: Composition, listeners: Sequence[Listener], drain: Drain) -> int:
    """Serves until a signal stops it or the engine dies. Returns the exit code of the process.

    Raises the engine's error if it cannot score even a tiny document, and UnfitModelError where the model does not pass
    a strict start check.
    """
    for model in composition.models:
        await model.watch.warm_up()
        await model.start.run()
    composition.metrics.note_start(any(model.start.failed for model in composition.models))
    _freeze_memory()
    refuse = refuser(composition.metrics)
    servers = [_Server(_config(listener, refuse)) for listener in listeners]
    running = [
        asyncio.create_task(server.serve(sockets=accepting(listener.socket)))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    signals = _Signals()
    for listener in listeners:
        _log.info("listening", extra={"url": address_of(listener.socket)})
    try:
        stopped = asyncio.create_task(signals.stop.wait())
        died = asyncio.create_task(composition.watch.died.wait())
        await asyncio.wait([stopped, died, *running], return_when=asyncio.FIRST_COMPLETED)
        code = EXIT_ENGINE_DIED if died.done() else EXIT_OK
        if died.done():
            await asyncio.sleep(_SECONDS_TO_ANSWER_AFTER_DEATH)
        elif stopped.done():
            await _drain(composition, drain, signals)
            code = EXIT_ENGINE_DIED if composition.watch.died.is_set() else EXIT_OK
        stopped.cancel()
        died.cancel()
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*running)
    return code


def _freeze_memory() -> None:
    """Keeps the garbage collector from walking what a start has made, libraries and model: that took 0.3 s each time,
    in which no request moves and no probe is answered."""
    gc.collect()
    gc.freeze()


async def _drain(composition: Composition, drain: Drain, signals: _Signals) -> None:
    lifecycle = composition.lifecycle
    delay = drain.delay if signals.delay else 0.0
    lifecycle.phase = Phase.LEAVING
    _log.info("leaving", extra={"drain_delay": delay})
    await _first_of(signals.hurry.wait(), composition.watch.died.wait(), seconds=delay)
    if lifecycle.phase is Phase.LEAVING:
        lifecycle.phase = Phase.DRAINING
    reason = lifecycle.reason
    composition.bodies.close(lambda: Unavailable(reason, reason="draining", retry_after=_RETRY_AFTER_DRAIN_SECONDS))
    _log.info("draining", extra={"drain_budget": drain.budget})
    if not await _first_of(_all_answered(composition), signals.hurry.wait(), seconds=drain.budget):
        composition.bodies.refuse_all(CallCut())
        for model in composition.models:
            model.admission.fail_all(CallCut())
        await asyncio.sleep(0)


async def _all_answered(composition: Composition) -> None:
    """Returns when no body is arriving, no call is left and all answers have been sent."""
    admissions = [model.admission for model in composition.models]
    while composition.bodies.unanswered or any(admission.active for admission in admissions):
        await composition.bodies.idle()
        for admission in admissions:
            await admission.idle()


async def _first_of(*awaitables: Coroutine[Any, Any, object], seconds: float) -> bool:
    """Waits until one of them is done, for at most `seconds`. Returns whether the first one is."""
    tasks = [asyncio.create_task(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    first_done = tasks[0].done()
    for task in tasks:
        task.cancel()
    return first_done


class _Signals:
    """The first signal sets `stop`; the second sets `hurry`, which leaves no time for anything else.

    `delay` is False if the first was an interrupt from a keyboard: there is no balancer that has to notice.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.delay = True
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received, number)

    def _received(self, number: signal.Signals) -> None:
        if self.stop.is_set():
            self.hurry.set()
        else:
            self.delay = number is not signal.SIGINT
        self.stop.set()


def _config(listener: Listener, refuse: Refuse) -> GuardedConfig:
    return GuardedConfig(
        listener.app,
        Guard(HttpLimits(), listener.connections, refuse, PROBE_PATHS, listener.origins),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


class _Server(uvicorn.Server):
    """uvicorn's server without its own signal handling."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
