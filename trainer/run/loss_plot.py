"""The plot of a run's loss, from its log."""

from __future__ import annotations

from trainer.run.folder import RunFolder


def plot_loss(folder: RunFolder) -> None:
    """Write loss.png: the loss of each stretch of steps, and its running mean. Nothing where there is no log yet."""
    import matplotlib.pyplot as plt  # here, as it takes a second to import

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
