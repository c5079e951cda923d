"""Figures as SVG text in one style for all programs. The same values give the same bytes.

Import it where a figure is drawn: matplotlib takes a second to import.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, FAINT, BLUE, RED, GREEN = "#1f2933", "#9aa5b1", "#2f6f9f", "#c4553b", "#3d8f6b"
_STYLE: Any = {  # matplotlib declares the keys as a type of its own
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
    """The style, as a context for creating, drawing and serialising a figure."""
    return mpl.rc_context(_STYLE)


def svg(figure: Figure) -> str:
    """The figure as SVG text without a date."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
