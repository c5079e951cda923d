"""The report as a self-contained HTML page: tables, and plots as data URLs."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from cli.report_page import begin
from evaluation.reports.table import Table

FIGURE = 28  # characters; a longer cell is text, not a figure
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 86rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem }
p { color: #52606d; margin: .2rem 0 .6rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #e4e7eb; vertical-align: top }
th { color: #52606d; font-weight: 600 }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
.n { white-space: nowrap }
img { max-width: 100% }
</style>
"""


def render(title: str, tables: Sequence[Table], plots: Mapping[str, str]) -> str:
    """The HTML page. `plots` maps the description of a plot to its SVG."""
    parts = [begin(title, _STYLE), f"</head><body>\n<h1>{escape(title)}</h1>\n"]
    parts += [_table(table) for table in tables[:2]]
    if plots:
        images = "\n".join(_image(name, svg) for name, svg in plots.items())
        parts.append(f'<h2>Plots</h2>\n<div class="plots">\n{images}\n</div>\n')
    parts += [_table(table) for table in tables[2:]]
    return "".join(parts) + "</body></html>\n"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    note = f"<p>{escape(table.note)}</p>\n" if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2>\n{note}<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>\n"
    )


def _cell(text: str) -> str:
    """Keeps a figure on one line; text may wrap."""
    figure = len(text) <= FIGURE and text[:1] in set("+-0123456789")
    return f"<td{' class=n' if figure else ''}>{escape(text)}</td>"


def _image(name: str, svg: str) -> str:
    return f'<img alt="{escape(name)}" src="data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}">'
