"""How the number of callers changes over a run: in steps, with a spike, or little for long (soak)."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from locust import LoadTestShape

Tick = tuple[int, float] | None


class Shape(LoadTestShape):
    """A shape over `seconds` with at most `peak` callers; Locust asks `tick` once a second until it says None."""

    abstract = True
    use_common_options = True

    def __init__(self, seconds: float, peak: int) -> None:
        super().__init__()
        self.seconds = seconds
        self.peak = peak

    def tick(self) -> Tick:
        share = self.get_run_time() / self.seconds
        if share >= 1:
            return None
        callers = max(1, self.callers(share))
        return callers, float(callers)

    def callers(self, share: float) -> int:
        """The callers when this `share` of the run is over."""
        raise NotImplementedError


class Step(Shape):
    """Five steps up to the peak: where does the latency bend?"""

    def callers(self, share: float) -> int:
        return round(self.peak * (int(share * 5) + 1) / 5)


class Spike(Shape):
    """A tenth of the peak, the whole peak for the middle fifth, a tenth again: does it recover?"""

    def callers(self, share: float) -> int:
        return self.peak if 0.4 <= share < 0.6 else round(self.peak / 10)


class Soak(Shape):
    """Half of the peak all the time, after a tenth of the run to warm up: does anything grow?"""

    def callers(self, share: float) -> int:
        return round(self.peak / 2 * min(1.0, share * 10))


def shape(name: str, seconds: float, peak: int) -> Shape | None:
    """The shape of that name; None for `none`, where all callers come at once and stay."""
    kinds: dict[str, type[Shape]] = {"step": Step, "spike": Spike, "soak": Soak}
    return kinds[name](seconds, peak) if name in kinds else None
