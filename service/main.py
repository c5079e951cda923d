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

from service.api.app import Composition, create_app
from service.api.keys import KeyFile, KeyFileError
from service.api.probes import metrics_app
from service.api.server import Drain, Listener, bind, serve
from service.command_line import SettingsError
from service.engines.loading import build_engine, engine_series
from service.errors import ServiceError
from service.http.connections import Connections
from service.http.limits import default_connections
from service.models import store
from service.models.checkpoint import ModelStoreError
from service.settings import Settings, from_command_line
from service.telemetry.logs import configure_logging
from service.telemetry.metrics import Metrics

_EXIT_CANNOT_START = 2
_METRICS_CONNECTIONS = 16  # of the metrics' own port


def main() -> NoReturn:
    """Run the server until it is told to stop; exit 0 then, 1 when the engine died, 2 when it could not start."""
    # Threads that spin while they wait make a call ten times slower on cores that others use too. OpenMP reads this
    # once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The first process of a container ignores signals it has no handler for, also while a model loads.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(run(sys.argv[1:], os.environ))


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The same with arguments and environment given."""
    try:
        settings = from_command_line(argv, environ)
        configure_logging(settings.log_level, texts=settings.log_texts)
        sockets = _bind_all(settings)
        _check_keys(settings)
        checkpoint = store.resolve(settings.model, revision=settings.model_revision, cache_dir=settings.cache_dir)
        engine = build_engine(settings, checkpoint)
        composition = create_app(settings, engine, checkpoint)
        for registry, prefix in engine_series(engine):
            composition.metrics.include_engine(registry, prefix)
    except (SettingsError, ModelStoreError, KeyFileError, _CannotListenError) as error:
        return _cannot_start(str(error))
    try:
        return uvloop.run(_serve(settings, composition, sockets))
    except ServiceError as error:
        return _cannot_start(f"the engine failed on its first document: {error}")


def _cannot_start(reason: str) -> int:
    print(f"limrank-serve: {reason}", file=sys.stderr)  # noqa: T201 - a person reads it, not a log
    return _EXIT_CANNOT_START


class _CannotListenError(Exception):
    """The address cannot be bound. The message says why and what to do."""


def _bind_all(settings: Settings) -> list[socket.socket]:
    """The sockets of the service and, where they have a port of their own, of the metrics."""
    ports = {"--port": settings.port, "--metrics-port": settings.metrics_port}
    return [_bind(settings.host, port, flag) for flag, port in ports.items() if port is not None]


def _check_keys(settings: Settings) -> None:
    """Find a key file that cannot be used before a model is loaded. Raise KeyFileError."""
    if settings.keys_file is not None:
        KeyFile(settings.keys_file, Metrics(), settings.documents_per_minute)


def _bind(host: str, port: int, flag: str) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        flag = flag if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise _CannotListenError(f"cannot listen on {host}:{port}: {reason}; choose another with {flag}.") from error


async def _serve(settings: Settings, composition: Composition, sockets: Sequence[socket.socket]) -> int:
    apps: list[ASGIApp] = [composition.app, metrics_app(composition.metrics)]
    seats = [Connections(settings.max_connections or default_connections()), Connections(_METRICS_CONNECTIONS)]
    listeners = [Listener(app, bound, room) for app, bound, room in zip(apps, sockets, seats, strict=False)]
    return await serve(composition, listeners, Drain(settings.drain_delay, settings.drain_budget))


if __name__ == "__main__":
    main()
