"""The callback of several processes that train together: what one decides, all do. In processes joined by gloo."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from transformers import TrainerControl, TrainerState, TrainingArguments

from trainer.errors import Diverged
from trainer.run.folder import COMPLETE, RunFolder
from trainer.run.loop import Timing, take_threads
from trainer.run.session import Session, in_any_process

CHECKPOINT = "checkpoint-3"


def one_of_two(rank: int, work: Callable[[int, Path], Any], folder: Path) -> Any:
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    try:
        return work(rank, folder)
    finally:
        distributed.destroy_process_group()


def in_two(work: Callable[[int, Path], Any], folder: Path) -> list[Any]:
    """What `work(rank, folder)` gives in each of two processes."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        return [done.result(60) for done in [pool.submit(one_of_two, rank, work, folder) for rank in range(2)]]


MODEL = torch.nn.Linear(2, 1)


def session_of(
    rank: int, folder: Path, *, session_minutes: float = 120.0, checkpoint_minutes: float = 10.0
) -> tuple[Session, tuple[TrainingArguments, TrainerState, TrainerControl]]:
    """A session in its third step of nine."""
    session = Session(
        RunFolder(folder), Timing(session_minutes, checkpoint_minutes, checkpoint_steps=None, log_steps=10)
    )
    state = TrainerState(global_step=3, max_steps=9, is_world_process_zero=rank == 0)
    handed = TrainingArguments(str(folder), use_cpu=True), state, TrainerControl()
    session.on_train_begin(*handed)
    return session, handed


def decided(session: Session, handed: tuple[TrainingArguments, TrainerState, TrainerControl]) -> tuple[str, bool, bool]:
    session.on_step_end(*handed)
    session.on_train_end(*handed, model=MODEL)
    return session.ended, handed[2].should_training_stop, handed[2].should_save


def told(rank: int, folder: Path) -> tuple[str, bool, bool]:
    session, handed = session_of(rank, folder)
    if rank == 1:
        signal.raise_signal(signal.SIGTERM)
    return decided(session, handed)


def over(rank: int, folder: Path) -> tuple[str, bool, bool]:
    return decided(*session_of(rank, folder, session_minutes=1e-9 if rank == 1 else 60))


def due(rank: int, folder: Path) -> tuple[str, bool, bool]:
    return decided(*session_of(rank, folder, checkpoint_minutes=1e-9 if rank == 1 else 60))


def undisturbed(rank: int, folder: Path) -> tuple[str, bool, bool]:
    return decided(*session_of(rank, folder))


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (told, ("signal", True, True)),
        (over, ("time", True, True)),
        (due, ("finished", False, True)),
        (undisturbed, ("finished", False, False)),
    ],
)
def test_what_one_process_has_cause_to_do_both_do(
    work: Callable[[int, Path], Any], expected: tuple[str, bool, bool], tmp_path: Path
) -> None:
    assert in_two(work, tmp_path) == [expected, expected]


def saved(rank: int, folder: Path) -> bool:
    """Whether the other's random state was there when the checkpoint was marked complete; the other is slow."""
    session, handed = session_of(rank, folder)
    checkpoint = folder / "checkpoints" / CHECKPOINT
    if rank == 1:
        time.sleep(1)
        (checkpoint / "rng_state_1.pth").touch()
    session.on_save(*handed, model=MODEL)
    session.on_train_end(*handed, model=MODEL)
    return rank == 1 or ((checkpoint / COMPLETE).exists() and (checkpoint / "rng_state_1.pth").exists())


def diverged(rank: int, folder: Path) -> str:
    session, handed = session_of(rank, folder)
    model = torch.nn.Linear(2, 1)
    if rank == 1:
        torch.nn.init.constant_(model.weight, torch.nan)
    try:
        session.on_save(*handed, model=model)
    except Diverged as error:
        return str(error)
    return "went on"


def test_weights_that_are_no_numbers_in_one_process_end_both(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / CHECKPOINT).mkdir(parents=True)
    said = in_two(diverged, tmp_path)
    assert said[0] == said[1]
    assert said[0].startswith("The weights of the training became NaN or infinite by step 3")
    assert not (tmp_path / "checkpoints" / CHECKPOINT / COMPLETE).exists()


def test_a_checkpoint_is_complete_when_all_processes_have_written_their_part(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (tmp_path / "checkpoints" / CHECKPOINT).mkdir()
    (tmp_path / "checkpoints" / CHECKPOINT / COMPLETE).touch()  # so that beginning does not take it away
    assert in_two(saved, tmp_path) == [True, True]
    assert not (tmp_path / "checkpoints" / "checkpoint-2").exists()


def test_one_process_asks_nobody() -> None:
    assert in_any_process([True, False], torch.device("cpu")) == [True, False]


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU threads do not matter")
def test_who_is_left_computes_with_the_threads_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
        take_threads()
        assert torch.get_num_threads() == 3
        monkeypatch.delenv("LOCAL_WORLD_SIZE")
        take_threads()
        assert torch.get_num_threads() == 3, "alone there is nobody's to take"
    finally:
        torch.set_num_threads(before)
