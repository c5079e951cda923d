"""A service around a scripted engine, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.service.serving import serving


@dataclass(frozen=True)
class Service:
    url: str
    engine: ScriptedEngine

    @property
    def documents(self) -> int:
        """How many the engine was asked to score."""
        return sum(len(job.passages) for job in self.engine.jobs)


@pytest.fixture
def service() -> Iterator[Service]:
    engine = ScriptedEngine(seconds=0.002)
    with serving(create_app(Settings(), engine).app) as url:
        engine.jobs.clear()
        yield Service(url, engine)
