"""What a run is given, and the files that its steps have written, as the objects that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.tune import training
from app.tune.documents.passages import Passage
from app.tune.documents.reading import content_sum
from app.tune.progress import Progress
from app.tune.queries.made import Query
from app.tune.queries.own import OwnQuery
from app.tune.settings import UNKNOWN, Tune
from app.tune.training import TrainingPlan
from app.tune.work import Work, file_sum
from cli.errors import BadInput
from contract.checkpoint.packaged import minilm


@dataclass(frozen=True)
class Given:
    """`own`: the user's queries."""

    settings: Tune
    work: Work
    progress: Progress
    own: list[OwnQuery]

    @cached_property
    def documents_sum(self) -> str:
        return content_sum(self.settings.documents)

    @cached_property
    def bi_encoder(self) -> Path | str:
        """The bi-encoder's folder or hub id. Raises `BadInput`."""
        found = self.settings.bi_encoder or minilm()
        if found is None:
            raise BadInput("The package of all-MiniLM-L6-v2 is not installed; run `make tools`, or name --bi-encoder.")
        return found

    @cached_property
    def bi_encoder_sum(self) -> str:
        weights = Path(self.bi_encoder) / "model.safetensors"
        return file_sum(weights) if weights.is_file() else str(self.bi_encoder)

    @cached_property
    def base(self) -> Path:
        """The folder of the model to begin from. Raises `TrainError`."""
        from trainer.run.bases import resolve

        return resolve(self.settings.base).folder

    @cached_property
    def base_sum(self) -> str:
        return file_sum(self.base)

    @cached_property
    def plan(self) -> TrainingPlan:
        from trainer.run.bases import has_output

        settings = self.settings
        return TrainingPlan(
            base=settings.base,
            learning_rate=settings.learning_rate,
            epochs=settings.epochs,
            max_tokens=settings.max_tokens,
            seed=settings.seed,
            graded=settings.llm is not None,
            ranks=has_output(self.base),
        )

    @property
    def licence(self) -> str:
        """Of the groups: the documents' and the teacher's."""
        return training.licence_of(self.settings.licence, UNKNOWN if self.settings.bi_encoder else "Apache-2.0")

    def cost(self) -> float | None:
        """What calls of a language model have cost; None where there are none."""
        return None

    def held_out(self) -> frozenset[str]:
        return frozenset(self.work.json("choice.json")["held_out"])

    def read_passages(self) -> list[Passage]:
        """The passages as they were read."""
        return [Passage.from_row(row) for row in self.work.rows("read.jsonl")]

    def all_passages(self) -> list[Passage]:
        """The passages as they are ranked."""
        return [Passage.from_row(row) for row in self.work.rows("passages.jsonl")]

    def all_queries(self) -> list[Query]:
        return [Query.from_row(row) for row in self.work.rows("queries.jsonl")]
