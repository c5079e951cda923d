"""Entry point of `limrank-serve`: settings -> checkpoint -> engine -> app -> server."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import uvloop
from starlette.types import ASGIApp

from cli.errors import BadSettings
from service.api.app import Composition, FirstStageModel, create_app, open_keys
from service.api.keys import KeyFile
from service.api.probes import metrics_app
from service.api.server import Drain, Listener, bind, serve
from service.engines.loading import build_engine, build_first_stage
from service.errors import CannotListenError, ModelStoreError, ServiceError, StartupError
from service.http.connections import Connections
from service.http.limits import default_connections
from service.http.memory import limit_arenas
from service.inspection import inspect_model
from service.models import store
from service.models.calibration import calibrated
from service.settings import Settings, from_command_line
from service.telemetry.logs import configure_logging

_EXIT_CANNOT_START = 2
_EXIT_MISSING = 1
_METRICS_CONNECTIONS = 16  # of the metrics' own port
_SWITCH_SECONDS = 1e-4


def main() -> NoReturn:
    """Runs the server until it is told to stop. Exits with 0 then, 1 if the engine died, 2 if it could not start."""
    # Threads that spin while they wait make a call ten times slower on shared cores. OpenMP reads this once, when
    # torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Bodies are parsed, and an engine's steps are called, in threads beside the event loop. A forward pass takes the
    # interpreter's lock some hundred times: at the default of 5 ms each may wait for so long behind other threads.
    sys.setswitchinterval(_SWITCH_SECONDS)
    limit_arenas(os.environ)
    # The first process of a container ignores signals that it has no handler for, also while a model loads.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(run(sys.argv[1:], os.environ))


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs the server with these arguments and environment; returns the exit code.

    `inspect MODEL` as the first arguments describes a model instead, with the same flags and environment.
    """
    if argv and argv[0] == "inspect":
        return _inspect(argv[1:], environ)
    try:
        settings = from_command_line(argv, environ)
        configure_logging(settings.log_level, texts=settings.log_texts)
        sockets = _bind_all(settings)
        keys = open_keys(settings)
        composition = compose(settings, keys)
    except (BadSettings, StartupError) as error:
        return _cannot_start(str(error))
    try:
        return uvloop.run(_serve(settings, composition, sockets))
    except StartupError as error:
        return _cannot_start(str(error))
    except ServiceError as error:
        return _cannot_start(f"the engine failed on its first document: {error}")


def compose(settings: Settings, keys: KeyFile | None = None) -> Composition:
    """The model that the settings name in its engine, and the app around it. Raises StartupError."""
    checkpoint = store.resolve(
        settings.model,
        revision=settings.model_revision,
        cache_dir=settings.cache_dir,
        prompt_format=settings.format,
    )
    checkpoint = calibrated(checkpoint, settings.calibration)
    first = None if settings.first_stage is None else store.resolve(settings.first_stage, cache_dir=settings.cache_dir)
    if first is not None and first.folder == checkpoint.folder:
        raise ModelStoreError(f"--first-stage {settings.first_stage} is the served model itself; name a cheaper one.")
    engine = build_engine(settings, checkpoint)
    stage = None if first is None else FirstStageModel(build_first_stage(settings, first), first)
    return create_app(settings, engine, checkpoint, keys, stage)


def _inspect(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Prints what a model is. Returns 0 where a server would start with it, 1 where something is missing, 2 where there
    is no such model."""
    named = ["--model", argv[0], *argv[1:]] if argv and not argv[0].startswith("-") else argv
    try:
        settings = from_command_line(named, environ)
        report = inspect_model(
            settings.model,
            settings.model_revision,
            settings.cache_dir,
            settings.format,
            (settings.query_prompt, settings.passage_prompt),
            settings.calibration,
        )
    except (BadSettings, StartupError) as error:
        return _cannot_start(str(error))
    print("\n".join(report.lines))  # noqa: T201 - a person reads it
    return 0 if report.servable else _EXIT_MISSING


def _cannot_start(reason: str) -> int:
    print(f"limrank-serve: {reason}", file=sys.stderr)  # noqa: T201 - a person reads it, not a log
    return _EXIT_CANNOT_START


def _bind_all(settings: Settings) -> list[socket.socket]:
    """Binds the service's port and, if the metrics have one of their own, that one. Raises CannotListenError."""
    ports = {"--port": settings.port, "--metrics-port": settings.metrics_port}
    return [_bind(settings.host, port, flag) for flag, port in ports.items() if port is not None]


def _bind(host: str, port: int, flag: str) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        flag = flag if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise CannotListenError(f"cannot listen on {host}:{port}: {reason}; choose another with {flag}.") from error


async def _serve(settings: Settings, composition: Composition, sockets: Sequence[socket.socket]) -> int:
    apps: list[ASGIApp] = [composition.app, metrics_app(composition.metrics)]
    seats = [Connections(settings.max_connections or default_connections()), Connections(_METRICS_CONNECTIONS)]
    origins: list[Sequence[str]] = [settings.cors_origins, ()]
    listeners = [Listener(*parts) for parts in zip(apps, sockets, seats, origins, strict=False)]
    return await serve(composition, listeners, Drain(settings.drain_delay, settings.drain_budget))


if __name__ == "__main__":
    main()
