"""One model as it is run: its engine with the queue before it and what watches it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contract.verdict import AS_IT_IS, Temperatures
from service.engine import Engine
from service.errors import EngineDead
from service.lifecycle import FirstStageLifecycle, Lifecycle
from service.models.checkpoint import Checkpoint
from service.ranking import ScoreKind
from service.scheduling.admission import Admission
from service.scheduling.encoding import EncodingPool, PassageShare
from service.scheduling.shares import QueueLimits
from service.scheduling.start_check import StartCheck
from service.scheduling.throughput import Throughput
from service.scheduling.watchdog import Watchdog, WatchIntervals
from service.scheduling.window import Window
from service.settings import Settings


class Model:
    """The served model, or the first stage of a cascade."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        checkpoint: Checkpoint | None,
        lifecycle: Lifecycle,
        on_death: Callable[[EngineDead], None],
        *,
        first_stage: bool = False,
    ) -> None:
        capabilities, throughput = engine.capabilities, Throughput()
        limits = QueueLimits(
            settings.max_queued_documents, settings.max_queued_tokens, several_keys=settings.keys_file is not None
        )
        watched = FirstStageLifecycle(lifecycle) if first_stage else lifecycle
        share = PassageShare(capabilities.room, capabilities.max_model_tokens, settings.min_passage_share)
        self.engine = engine
        self.checkpoint = checkpoint
        self.throughput = throughput
        self.window = Window(engine, min(settings.window or capabilities.window, capabilities.window), throughput)
        self.admission = Admission(self.window, lifecycle, limits, throughput)
        self.watch = Watchdog(engine, watched, on_death=on_death, intervals=WatchIntervals())
        self.encoding = EncodingPool(engine.encoder, share=share)
        self.start = StartCheck(engine, strict=settings.strict_model)

    @property
    def name(self) -> str:
        """The model's own, or the engine's where a test gives no checkpoint."""
        return self.checkpoint.name if self.checkpoint else self.engine.capabilities.engine

    @property
    def fingerprint(self) -> str:
        return self.checkpoint.manifest.fingerprint if self.checkpoint else ""

    @property
    def temperatures(self) -> Temperatures:
        return self.checkpoint.manifest.temperatures if self.checkpoint else AS_IT_IS

    @property
    def score(self) -> ScoreKind:
        return self.checkpoint.score if self.checkpoint else ScoreKind.OWN


class Counts:
    """Documents that wait for the engines of several models, and those that are in them."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models

    @property
    def queued(self) -> int:
        return sum(model.window.queued for model in self._models)

    @property
    def running(self) -> int:
        return sum(model.window.running for model in self._models)


def common_score(kinds: Sequence[ScoreKind]) -> ScoreKind:
    """What the scores of several models in one answer are: no more than each of them is."""
    return next((kind for kind in (ScoreKind.ORDER, ScoreKind.OWN) if kind in kinds), ScoreKind.FITTED)
