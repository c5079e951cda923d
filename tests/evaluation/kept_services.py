"""Services that outlive the command that started them, for tests that give several commands the same model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from evaluation.scorers.http import HttpScorer, ServiceOptions
from evaluation.scorers.local_service import _name, local_service, weights_hash


class KeptServices:
    """In place of `local_service`: starts what it is asked for with that, and stops it when the tests are over."""

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._urls: dict[tuple[object, ...], str] = {}

    @contextmanager
    def serve(
        self,
        model: str,
        options: ServiceOptions,
        log: Path,
        *,
        engine: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
    ) -> Iterator[HttpScorer]:
        key = (model, engine, dtype, threads)
        log.touch()
        if key not in self._urls:
            started = local_service(model, options, log, engine=engine, dtype=dtype, threads=threads)
            self._urls[key] = str(self._exits.enter_context(started)._client.base_url)
        scorer = HttpScorer(self._urls[key], options, name=_name(model, options), weights=weights_hash(model))
        try:
            yield scorer
        finally:
            scorer.close()

    def close(self) -> None:
        self._exits.close()
