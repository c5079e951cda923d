"""The systems that are measured, and what their figures say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEASURE = "nDCG@10"
BM25, NEAR, FUSED, SHIPPED, NEW = "BM25", "bi-encoder", "both, fused", "model before", "new model"
# A model's scores fused with those of the first stages, where that was found to rank better: then NEW is so too, and
# ALONE is the new model without.
SHIPPED_FUSED, ALONE = "model before, fused", "new model, alone"


def verdict(figures: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the new model helps, and the first sentence of the report."""
    rival, systems = figures["rival"], figures["systems"]
    difference = figures["against"][rival]["difference"]
    new, other = systems[NEW]["mean"], systems[rival]["mean"]
    figure = (
        f"{MEASURE} {new:.3f} against {other:.3f} of {_named(rival)} on {figures['queries']} held-out queries "
        f"({difference['mean']:+.3f}, 95 % interval {difference['low']:+.3f} to {difference['high']:+.3f})"
    )
    if weight := figures["weights"][NEW]:
        figure = f"with the first stages' scores at a weight of {weight:g}, {figure}"
    if difference["mean"] <= 0:
        return False, f"The new model does not help: {figure}."
    if difference["low"] <= 0:
        return True, f"The new model may help, but this many queries cannot tell: {figure}."
    return True, f"The new model helps: {figure}."


def _named(system: str) -> str:
    names = {FUSED: "both first stages, fused", NEAR: "the bi-encoder", SHIPPED: "the model before"}
    names[SHIPPED_FUSED] = "the model before with the first stages' scores"
    return names.get(system, system)
