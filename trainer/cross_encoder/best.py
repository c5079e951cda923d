"""Keeps the weights that ranked the held-out groups best, evaluated a few times per run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from contract.files import replacing, write_text
from trainer.cross_encoder.groups import Row
from trainer.cross_encoder.held_out import Scorer, by_model

_TIMES = 5
_MOST_ROWS = 100  # evaluated at a time, except at the end


class BestWeights(TrainerCallback):
    """Scores `rows` at every fifth of a run, and keeps the weights of the best score so far in `folder`.

    A resumed run continues with the earlier evaluations: the files state the step they are from.
    """

    def __init__(self, model: CrossEncoder, scorer: Scorer, rows: Sequence[Row], folder: Path) -> None:
        self._model = model
        self._scorer = scorer
        self._rows = rows[:_MOST_ROWS]
        self._weights = folder / "best.safetensors"
        self._stated = folder / "best.json"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero and state.global_step in _points(state.max_steps):
            self._look(state.global_step)

    def put_into_model(self) -> int | None:
        """Loads the best weights into the model. Returns their step, or None when the last ones are the best."""
        best = self._best()
        if best is None or by_model(self._scorer, self._rows) >= best["score"]:
            return None
        self._model.load_state_dict(load_file(self._weights))
        return int(best["step"])

    def forget(self) -> None:
        """Removes the files, once a run is complete."""
        for file in (self._weights, self._stated):
            file.unlink(missing_ok=True)

    def _look(self, step: int) -> None:
        score, best = by_model(self._scorer, self._rows), self._best()
        if best is not None and best["score"] >= score and best["step"] <= step:
            return
        weights = {name: tensor.detach().cpu().clone() for name, tensor in self._model.state_dict().items()}
        with replacing(self._weights) as part:
            save_file(weights, part)
        write_text(self._stated, json.dumps({"step": step, "score": score}) + "\n")

    def _best(self) -> dict[str, float] | None:
        if not self._stated.exists() or not self._weights.exists():
            return None
        return dict(json.loads(self._stated.read_text(encoding="utf-8")))


def _points(steps: int) -> set[int]:
    """The steps at which to evaluate, without the last, whose weights are available at the end."""
    return {round(steps * part / _TIMES) for part in range(1, _TIMES)} - {0, steps}
