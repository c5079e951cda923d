"""One service for all clients, and each client's script run once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.client_runs import Answers, run_client
from tests.clients.live_service import LiveService, live_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="session")
def plain(service: LiveService) -> list[tuple[int, float]]:
    """The ranking that a plain POST gets: what every client must report too."""
    ranking = service.ranking()
    scores = [score for _, score in ranking]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    indices = [index for index, _ in ranking]
    assert indices != sorted(indices), "a client that ignores the answer's order would not be noticed"
    return ranking


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers of the script that the test module names in `SCRIPT`."""
    folder: Path = tmp_path_factory.mktemp("client")
    return run_client(request.module.SCRIPT, service, folder)
