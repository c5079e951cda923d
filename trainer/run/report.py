"""The report at the end of a session: progress, dev score, the next command, and a plot of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import TrainerState

from trainer.run.batching import world
from trainer.run.dev_score import say
from trainer.run.folder import RunFolder, writing


def report_session(
    folder: RunFolder,
    ended: str,
    state: TrainerState,
    seconds: float,
    dev: Mapping[str, float] | None,
    after: Sequence[str] = (),
) -> None:
    """Prints two or three lines and those of `after`, appends one to legs.jsonl, and plots the loss. Raises
    BadRunFolder."""
    number = len(folder.ended_sessions()) + 1
    line = {"leg": number, "ended": ended, "step": state.global_step, "steps": state.max_steps, "devices": world()}
    folder.append(folder.sessions, line | {"seconds": round(seconds, 1), "dev": None if dev is None else dict(dev)})
    print(f"Leg {number} ended ({ended}) at step {state.global_step} of {state.max_steps}.")  # noqa: T201
    if dev is not None:
        print(f"{say(dev)}.")  # noqa: T201
    if ended == "finished":
        print(f"The run is complete: {folder.path}.")  # noqa: T201
    else:
        print(f"Next: the same command again, leg {number + 1}; it goes on from the last checkpoint.")  # noqa: T201
    for told in after:
        print(told)  # noqa: T201
    with writing(folder.path):
        plot_loss(folder)


def plot_loss(folder: RunFolder) -> None:
    """Writes loss.png: the loss of each line of the log and its running mean. Does nothing without a log."""
    import matplotlib.pyplot as plt  # imported here: takes a second

    by_step = {line["step"]: line["loss"] for line in folder.lines(folder.log)}
    if not by_step:
        return
    steps = sorted(by_step)
    losses = [by_step[step] for step in steps]
    figure, axes = plt.subplots(figsize=(8, 4.5))
    axes.plot(steps, losses, color="0.7", linewidth=1, label="each stretch")
    axes.plot(steps, _smooth(losses), linewidth=2, label="running mean")
    axes.set(xlabel="step", ylabel="loss", title=folder.path.name)
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder.path / "loss.png", dpi=120)
    plt.close(figure)


def _smooth(values: list[float], share: float = 0.1) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else smooth[-1] + share * (value - smooth[-1]))
    return smooth
