"""The report's plots as SVG. The same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from cli.figures import BLUE, FAINT, GREEN, INK, RED, style, svg
from evaluation.adaptive.replay import TOKENS
from evaluation.results.adaptive import AdaptiveResult
from evaluation.results.calibration import CalibrationResult
from evaluation.results.injections import InjectionsResult
from evaluation.results.ranking import RankingResult


def intervals(results: Sequence[RankingResult]) -> str:
    """One line per result: first stage, value with its interval, best possible order."""
    with style():
        figure = Figure(figsize=(8.6, 1.1 + 0.42 * len(results)), layout="constrained")
        axes = figure.add_subplot()
        names = []
        for row, result in enumerate(results):
            figures, headline = result.figures, result.figures.ranking_headline  # p-MRR has another scale
            value = figures.measures[headline]
            axes.plot([value.low, value.high], [row, row], color=BLUE, linewidth=2.2, solid_capstyle="butt")
            axes.plot(value.mean, row, "o", color=BLUE, markersize=6, label="reranked, 95 %" if not row else None)
            axes.plot(
                figures.first_stage[headline],
                row,
                "|",
                color=RED,
                markersize=13,
                markeredgewidth=2,
                label="first stage" if not row else None,
            )
            axes.plot(
                figures.best_possible[headline],
                row,
                "|",
                color=GREEN,
                markersize=13,
                markeredgewidth=2,
                label="best possible order" if not row else None,
            )
            protocol = result.protocol
            names.append(f"{result.task}, {protocol.first_stage} {protocol.depth}\n{result.scorer}, {headline}")
        axes.set_yticks(range(len(results)), names, fontsize=8)
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.set_xlim(0, 1.01)
        axes.grid(axis="x", color=FAINT, alpha=0.3)
        figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
        return svg(figure)


def reliability(result: CalibrationResult) -> str:
    """Confidence against accuracy by bin, as served and with the fitted temperature."""
    with style():
        figure = Figure(figsize=(3.6, 3.5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        curves = [("as served", result.as_served, BLUE)]
        if result.temperature is not None:
            curves.append((f"temperature {result.temperature.value:.2f}", result.temperature.after, GREEN))
        for name, measured, colour in curves:
            points = [(part.confidence, part.accuracy) for part in measured.curve]
            label = f"{name}, error {measured.error:.3f}"
            axes.plot(*zip(*points, strict=True), "o-", color=colour, markersize=4, linewidth=1, label=label)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")
        axes.set_xlabel("mean score of the bin")
        axes.set_ylabel("share relevant")
        axes.set_title(result.scorer, fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        return svg(figure)


def by_query(differences: Sequence[float], measure: str, title: str) -> str:
    """The change of each query relative to the first stage, sorted: how many gain, how many lose, and how much."""
    with style():
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        axes = figure.add_subplot()
        places = list(range(len(differences)))
        for colour, part in ((GREEN, [max(d, 0.0) for d in differences]), (RED, [min(d, 0.0) for d in differences])):
            axes.fill_between(places, part, step="mid", color=colour, linewidth=0.5)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlim(-0.5, len(differences) - 0.5)
        axes.set_ylim(-1.05, 1.05)
        axes.set_xlabel(f"{len(differences):,} queries, sorted")
        axes.set_ylabel(f"change of {measure}")
        axes.set_title(title, fontsize=9)
        return svg(figure)


def shifts(result: InjectionsResult) -> str:
    """The change in log-odds that each injected sentence causes for an irrelevant passage."""
    sentences = sorted(result.shift_by_sentence.items(), key=lambda pair: -pair[1])
    with style():
        figure = Figure(figsize=(8.6, 0.9 + 0.24 * len(sentences)), layout="constrained")
        axes = figure.add_subplot()
        rows = range(len(sentences))
        colours = [RED if shift > 0 else BLUE for _, shift in sentences]
        axes.barh(rows, [shift for _, shift in sentences], color=colours, height=0.65)
        axes.set_yticks(rows, [text if len(text) < 70 else f"{text[:68]}…" for text, _ in sentences], fontsize=8)
        axes.set_ylim(len(sentences) - 0.4, -0.6)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlabel("change of the log-odds")
        axes.set_title(result.scorer, fontsize=9)
        return svg(figure)


def tokens_curve(result: AdaptiveResult) -> str:
    """nDCG@10 against the tokens of a query: a line for each policy with its 95 % interval paired against direct,
    around the value of direct; early stops dashed; reasoning on all as lines across."""
    direct = next(row for row in result.rows if row.policy == "direct")
    policies = list(dict.fromkeys(row.policy for row in result.rows if row.budget is not None))
    colours = dict(zip(policies, (BLUE, FAINT, RED, GREEN, INK), strict=False))
    with style():
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for policy, early in ((policy, early) for policy in policies for early in (False, True)):
            rows = [row for row in result.rows if row.policy == policy and row.early_stop is early]
            if not rows:
                continue
            rows.sort(key=lambda row: row.tokens)
            tokens, colour = [row.tokens for row in rows], colours.get(policy, FAINT)
            values = [row.value.mean for row in rows]
            name = f"{policy}, early stops" if early else policy
            axes.plot(tokens, values, "--" if early else "-", marker="o", markersize=3, color=colour, label=name)
            if not early:
                low = [direct.value.mean + row.against_direct.low for row in rows]
                high = [direct.value.mean + row.against_direct.high for row in rows]
                axes.fill_between(tokens, low, high, color=colour, alpha=0.08, linewidth=0)
        for row, dashes in zip((r for r in result.rows if r.budget is None), ("-", ":", "-.", "--"), strict=False):
            name = f"{row.policy}{', early stops' if row.early_stop else ''} ({row.tokens:,.0f} {result.counted})"
            axes.axhline(row.value.mean, color=INK, linewidth=0.8, linestyle=dashes, label=name)
        axes.set_xscale("symlog", linthresh=10)
        of_traces = result.counted == TOKENS
        axes.set_xlabel("reasoning tokens a query, probes included" if of_traces else f"{result.counted} a query")
        axes.set_ylabel("nDCG@10")
        axes.set_title(f"{result.task}, {result.scorer}", fontsize=9)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=7)
        return svg(figure)
