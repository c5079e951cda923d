"""What a leg says when it ends: how far it came, its dev score, what comes next."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import TrainerState

from trainer.run.dev_score import say
from trainer.run.folder import RunFolder
from trainer.run.loop import world


def report_leg(
    folder: RunFolder, ended: str, state: TrainerState, seconds: float, dev: Mapping[str, float] | None
) -> None:
    """Print two or three lines and add one to legs.jsonl."""
    number = len(folder.ended_legs()) + 1
    line = {"leg": number, "ended": ended, "step": state.global_step, "steps": state.max_steps, "devices": world()}
    folder.append(folder.legs, line | {"seconds": round(seconds, 1), "dev": None if dev is None else dict(dev)})
    print(f"Leg {number} ended ({ended}) at step {state.global_step} of {state.max_steps}.")  # noqa: T201
    if dev is not None:
        print(f"{say(dev)}.")  # noqa: T201
    if ended == "finished":
        print(f"The run is complete: {folder.path}.")  # noqa: T201
    else:
        print(f"Next: the same command again, leg {number + 1}; it goes on from the last checkpoint.")  # noqa: T201
