"""Figures as SVG texts in the one style of all programs. The same values give the same bytes.

Imported where a figure is drawn, as matplotlib takes a second to import.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, FAINT, BLUE, RED, GREEN = "#1f2933", "#9aa5b1", "#2f6f9f", "#c4553b", "#3d8f6b"
_STYLE: Any = {  # matplotlib names its keys in a type of their own
    "svg.hashsalt": "limrank",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def style() -> AbstractContextManager[None]:
    """The style, for the time that a figure is made, drawn and turned into text."""
    return mpl.rc_context(_STYLE)


def svg(figure: Figure) -> str:
    """The figure as an SVG text without a date."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
