"""Opens the scorer that the settings name, and closes it when the block ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.errors import BadSettings
from evaluation.scorers.http import HttpScorer, ServiceOptions
from evaluation.scorers.local_service import local_service
from evaluation.scorers.run_file import RunFile
from evaluation.scorers.scorer import Scorer
from evaluation.settings import Scoring


@contextlib.contextmanager
def open_scorer(
    settings: Scoring, folder: Path, *, probe_tokens: int | None = None, lists: bool = False
) -> Iterator[Scorer]:
    """The scorer that the settings name. The log of a child process goes to `folder/service.log`. A service is asked
    for the verdict after every `probe_tokens` of a trace. `lists`: all candidates of a query are scored in one call,
    which a list model needs.

    Raises `BadSettings`, or `ScorerFailed` when a service cannot be started or reached.
    """
    if settings.list_model is not None and not lists:
        raise BadSettings("--list-model only orders the candidates of a query; `limrank-eval run` measures that.")
    folder.mkdir(parents=True, exist_ok=True)
    if settings.model is not None:
        served = local_service(
            settings.model,
            _options(settings, probe_tokens),
            folder / "service.log",
            engine=settings.engine,
            dtype=settings.dtype,
            threads=settings.threads,
        )
        with served as scorer:
            yield _labelled(scorer, settings)
        return
    made = _plain(settings, probe_tokens)
    try:
        yield _labelled(made, settings)
    finally:
        made.close()


def _plain(settings: Scoring, probe_tokens: int | None) -> Scorer:
    if settings.url is not None:
        return HttpScorer(settings.url, _options(settings, probe_tokens))
    if settings.run_file is not None:
        return RunFile(settings.run_file)
    if settings.bm25:
        from evaluation.scorers.bm25 import Bm25

        return Bm25()
    if settings.list_model is not None:
        from evaluation.scorers.listed import ListReranker

        return ListReranker(settings.list_model)
    from evaluation.scorers.encoders import BiEncoder, PublicCrossEncoder  # imported here: they import torch

    if settings.bi_encoder is not None:
        return BiEncoder(settings.bi_encoder, max_tokens=settings.max_tokens_per_doc)
    assert settings.cross_encoder is not None
    return PublicCrossEncoder(settings.cross_encoder, max_tokens=settings.max_tokens_per_doc)


def _labelled(scorer: Any, settings: Scoring) -> Scorer:
    return scorer if settings.label is None else _Labelled(scorer, settings.label)


class _Labelled:
    """A scorer with another name."""

    def __init__(self, scorer: Scorer, name: str) -> None:
        self.name = name
        self.concurrency = scorer.concurrency
        self.identity = scorer.identity
        self.prepare = scorer.prepare
        self.score = scorer.score
        self.close = scorer.close


def _options(settings: Scoring, probe_tokens: int | None) -> ServiceOptions:
    return ServiceOptions(
        mode=settings.mode,
        max_reasoning_tokens=settings.max_reasoning_tokens,
        max_tokens_per_doc=settings.max_tokens_per_doc,
        concurrency=settings.concurrency,
        timeout_seconds=settings.timeout_seconds,
        key=_key(settings.key_variable),
        probe_tokens=probe_tokens,
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise BadSettings(f"--key-variable names {variable}, which is not set; put the service's key into it.")
    return os.environ[variable]
