"""The whole service over a scripted engine, without keys, live on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.api.app import create_app
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.service.serving import serving


@contextmanager
def open_service(engine: ScriptedEngine | None = None, **settings: object) -> Iterator[str]:
    """The base URL of the service with these `settings`, as in `service.settings`."""
    with serving(create_app(Settings.model_validate(settings), engine or ScriptedEngine()).app) as url:
        yield url
