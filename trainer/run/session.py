"""One session of a run: from the last complete checkpoint until the run is finished, time is up, or a signal comes."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn, TypeVar

import torch
from torch import distributed
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.errors import Diverged
from trainer.run.batching import Batching
from trainer.run.folder import RunFolder, content_sha256, mark_complete, writing
from trainer.run.loop import Optimiser, Timing, arguments
from trainer.run.plan import Plan, say_plan
from trainer.settings import Training

Prepared = TypeVar("Prepared")
Watch = Callable[[int, int], None]


def run_session(
    settings: Training,
    *,
    prepare: Callable[[], Prepared],
    plan: Callable[[Prepared], Plan],
    train: Callable[[Session, Prepared, dict[str, Any]], None],
) -> None:
    """Prepares and trains one session, or with `dry_run` prepares and prints the plan without writing anything.

    `train` gets the session, the result of `prepare`, and the keyword arguments of transformers' TrainingArguments. The
    folder is created only after `prepare` has succeeded, so that a mistake does not bind later attempts. Raises
    BadSettings for an indivisible batch, BadRunFolder for the folder of another run or of another session.
    """
    folder, timing = RunFolder(settings.folder), Timing.of(settings)
    stated = settings.model_dump(mode="json")
    loop = arguments(
        folder, Optimiser.of(settings), Batching.of(settings), timing, seed=settings.seed, max_steps=settings.max_steps
    )
    if settings.dry_run:
        say_plan(plan(prepare()))
        return
    files = content_sha256(stated)
    folder.check(stated, settings.leg, files)
    prepared = prepare()
    folder.open(stated, files)
    train(Session(folder, timing), prepared, loop)


class Session(TrainerCallback):
    """Ends a session in time or on SIGTERM and SIGINT, with a checkpoint; saves checkpoints by the clock; writes the
    log. `ended` is the reason why the loop returned: `finished`, `time` or `signal`.

    Processes that train together stop and save at the same step, as soon as one of them has a reason to. Each has its
    own clock and signals, and one that continued alone would wait for the others forever.
    """

    def __init__(self, folder: RunFolder, timing: Timing) -> None:
        self.ended = "finished"
        self.folder = folder
        self._timing = timing
        self._begun = self._loop_begun = self._saved = time.monotonic()
        self._stop = False
        self._handlers: dict[signal.Signals, Any] = {}

    def run(self, trainer: Any) -> None:
        """Trains with a transformers trainer that has this callback, from the last complete checkpoint if there is one.
        Raises BadRunFolder, Diverged."""
        last = self.folder.last_checkpoint()
        self._begun = time.monotonic()
        with writing(self.folder.path):
            try:
                trainer.train(resume_from_checkpoint=str(last) if last else None)
            finally:
                self.give_signals_back()

    @property
    def seconds(self) -> float:
        """Seconds since the session began, including those after its last step."""
        return time.monotonic() - self._begun

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.folder.clear_half_written()
        # A checkpoint restores its own intervals between logs and checkpoints, which may not be those of this session.
        state.compute_steps(args, state.max_steps)  # type: ignore[no-untyped-call]
        self._loop_begun = self._saved = time.monotonic()
        self._handlers = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self._check_weights(model, args, state)
        self.give_signals_back()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        over = now - self._loop_begun > self._timing.session_minutes * 60
        due = now - self._saved > self._timing.checkpoint_minutes * 60
        stop, over, due = in_any_process([self._stop, over, due], args.device)
        if (over or stop) and state.global_step < state.max_steps:
            self.ended = "signal" if stop else "time"
            control.should_training_stop = control.should_save = True
        elif due:
            control.should_save = True
        if control.should_save:
            self._saved = now

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self._check_weights(model, args, state)  # waits for all processes, so each has written its random state
        if state.is_world_process_zero:
            mark_complete(self.folder.checkpoints / f"checkpoint-{state.global_step}")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if logs and not math.isfinite(float(logs.get("loss", 0.0))):
            _diverged("loss", state)
        if state.is_world_process_zero and logs and "loss" in logs:
            line: dict[str, Any] = {"step": state.global_step, "steps": state.max_steps, "loss": float(logs["loss"])}
            line |= {"learning_rate": logs.get("learning_rate"), "grad_norm": logs.get("grad_norm")}
            line |= {"leg_seconds": round(time.monotonic() - self._loop_begun, 1)}
            self.folder.append(self.folder.log, line)

    def give_signals_back(self) -> None:
        """Restores the signal handlers from before the loop; must also be called after an exception."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _check_weights(self, model: Any, args: TrainingArguments, state: TrainerState) -> None:
        """Raises Diverged in all processes when one has a trained weight that is NaN or infinite."""
        (spoilt,) = in_any_process([not _finite(model)], args.device)
        if spoilt:
            _diverged("weights", state)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True


class Watching(TrainerCallback):
    """Tells `watch` how many of how many steps are done."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self._watch(state.global_step, state.max_steps)


def in_any_process(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Which of `flags` are set in at least one of the processes that train together. Returns once all of them have
    called it. `device` is the one that this process trains on: NCCL accepts no other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return list(flags)
    common = torch.tensor(flags, dtype=torch.uint8, device=device)
    distributed.all_reduce(common, distributed.ReduceOp.MAX)
    return [bool(flag) for flag in common.tolist()]


def _finite(model: Any) -> bool:
    """Whether all trained weights, or this process's part of them, are finite."""
    trained = (weight.detach() for weight in model.parameters() if weight.requires_grad)
    return all(
        bool(torch.isfinite(weight.to_local() if isinstance(weight, DTensor) else weight).all()) for weight in trained
    )


def _diverged(problem: str, state: TrainerState) -> NoReturn:
    raise Diverged(
        f"The {problem} of the training became NaN or infinite by step {state.global_step}, and nothing of that is "
        "kept; go on from the last checkpoint with --precision float32, or begin in another --folder with a lower "
        "--learning-rate."
    )
