"""report.html: one page that needs no other file. Its first line says whether the new model helps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from app.batch.progress import duration
from app.tune.results.systems import ALONE, BM25, FUSED, NEAR, NEW, SHIPPED, SHIPPED_FUSED
from app.tune.settings import Tune
from cli.report_page import begin
from retrieval.words import cut_text

_SHOWN = 260  # characters of a passage


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says. `told`: what each step says of itself; `seconds` of each; `cost` of the calls."""

    settings: Tune
    figures: Mapping[str, Any]
    extremes: Sequence[Mapping[str, Any]]
    helps: bool
    verdict: str
    told: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    cost: float | None
    licences: Sequence[str]
    notes: Sequence[str] = field(default_factory=tuple)


def render(facts: Facts) -> str:
    """The page as HTML. The template engine escapes every text."""
    source = files("app.tune.results").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    title = f"{facts.settings.documents} --out {facts.settings.out}"
    rival = system_name(facts.figures["rival"], facts.settings)
    cases = [_case(each, rival) for each in facts.extremes]
    return template.render(
        begin=Markup(begin(f"limrank tune: {title}")),  # noqa: S704 - escaped there
        title=title,
        verdict=facts.verdict,
        mood="" if facts.helps and "may help" not in facts.verdict else " maybe" if facts.helps else " no",
        measured_note=_measured_note(facts),
        measure=facts.figures["measure"],
        systems=[_system(facts, name) for name in facts.figures["systems"]],
        rival=rival,
        sides=[
            ("Largest gains", [case for case in cases if case["gain"]], "gain"),
            ("Largest losses", [case for case in cases if not case["gain"]], "loss"),
        ],
        facts=_made_of(facts),
        times=_times(facts),
        notes=facts.notes,
        commands=commands(facts.settings, facts.helps, facts.figures["weights"][NEW]),
    )


def commands(settings: Tune, helps: bool, weight: float) -> list[tuple[str, str]]:
    """What to do next, and the commands for it. `weight`: of the first stages' scores beside the new model's."""
    model = settings.out.resolve() / "model"
    served = shlex.quote(str(model))
    longer = settings.out.with_name(f"{settings.out.name}-longer")
    again = f"limrank tune {shlex.quote(str(settings.documents))} --out {shlex.quote(str(longer))}"
    said = "Serve it:" if helps else "Serve it all the same, to try it:"
    fused = f" --first-stage-weight {weight:g}" if weight else ""
    if weight:
        said = f"{said[:-1]}, with your search's scores sent as first_stage_scores (docs/requests.md):"
    return [
        (said, f"limrank serve --model {served}{fused}"),
        (
            "Rerank with it from the shell:",
            f"limrank rerank 'a question' notes/*.txt --model {served}",
        ),
        (
            "Deploy it by Helm, with the folder copied to a claim, here called models (docs/operations.md):",
            "helm install my-reranker helm/limrank --set model.path=model --set persistence.enabled=true "
            "--set persistence.existingClaim=models",
        ),
        ("Train longer, on more queries:", f"{again} --groups {2 * settings.groups} --epochs 2"),
        (
            "Measure it on your own questions, with the documents that answer them:",
            'limrank tune ... --queries mine.jsonl     # {"query": "how do I ...", "relevant": ["guide/install.md"]}',
        ),
    ]


def system_name(name: str, settings: Tune) -> str:
    """A system as the page calls it."""
    names = {
        BM25: "BM25",
        NEAR: f"the bi-encoder ({settings.bi_encoder or 'all-MiniLM-L6-v2'})",
        FUSED: "both first stages, fused",
        SHIPPED: f"the model before ({settings.base})",
        SHIPPED_FUSED: "the model before, with the first stages' scores",
        ALONE: "the new model alone",
        NEW: "the new model",
    }
    return names[name]


def _measured_note(facts: Facts) -> str:
    queries = facts.told["queries"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(queries["tested"].items()))
    note = (
        f"{facts.figures['queries']} queries ({kinds}) from {facts.told['choose']['held_out']} documents that nothing "
        f"was trained on. The models rank the best {facts.figures['reranked']} passages of the fused first stages; the "
        f"best possible order of these has {facts.figures['best_possible']:.3f}."
    )
    if weight := facts.figures["weights"][NEW]:
        note += (
            f" The new model is ranked with the first stages' scores at a weight of {weight:g}, fitted on "
            f"{facts.told['filter'].get('reserved', 0)} queries that nothing was trained on, as a service does with "
            "--first-stage-weight and first_stage_scores."
        )
    made = set(queries["tested"]) - {"own"}
    return f"{note} Queries made of the documents flatter: people ask otherwise." if made else note


def _system(facts: Facts, name: str) -> dict[str, Any]:
    figure = facts.figures["systems"][name]
    row = {
        "name": system_name(name, facts.settings),
        "new": name == NEW,
        "figure": f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})",
        "width": round(100 * figure["mean"], 1),
        "difference": "",
        "p": "",
        "counts": "",
    }
    if name != NEW:
        against = facts.figures["against"][name]
        gap = against["difference"]
        row["difference"] = f"{gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
        row["p"] = f"{against['p_randomization']:.4f}"
        row["counts"] = f"{against['better']} / {against['worse']}"
    return row


def _case(each: Mapping[str, Any], rival: str) -> dict[str, Any]:
    columns = [(rival, each["before"]), ("the new model", each["after"])]
    return {
        "query": each["query"],
        "kind": each["kind"],
        "gain": each["gain"],
        "change": f"{each['change']:+.3f}",
        "columns": [(name, [_hit(hit) for hit in hits]) for name, hits in columns],
    }


def _hit(hit: Mapping[str, Any]) -> dict[str, Any]:
    shown = cut_text(hit["text"], _SHOWN)
    whole = len(shown) == len(hit["text"])
    return {**hit, "shown": shown if whole else f"{shown} ...", "rest": "" if whole else hit["text"]}


def _made_of(facts: Facts) -> list[tuple[str, str]]:
    told = facts.told
    trained = ", ".join(f"{count:,} {kind}" for kind, count in sorted(told["queries"]["trained"].items()))
    refused = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(told["filter"]["refused"].items()))
    rows = [
        ("documents", f"{told['read']['documents']:,} with text, {told['read']['passages']:,} passages used"),
        ("held out", f"{told['choose']['held_out']:,} documents"),
        ("queries trained on", trained),
        ("groups", f"{told['filter']['groups']:,}, of which {told['filter']['labelled']:,} with a known answer"),
        ("refused as negatives or queries", refused or "none"),
        ("training", told["train"]["recipe"] or ""),
        ("steps", f"{told['train']['steps']:,}; temperature {told['train']['temperature']}"),
        ("licences of base and data", ", ".join(facts.licences)),
    ]
    if "reasoning" in told:
        rows.append(
            (
                "causal model",
                "trained, in reasoning-model/" if told["reasoning"]["trained"] else told["reasoning"]["plan"],
            )
        )
    return rows


def _times(facts: Facts) -> list[tuple[str, str]]:
    rows = [(name, duration(seconds)) for name, seconds in facts.seconds.items()]
    rows.append(("in all", duration(sum(facts.seconds.values()))))
    if facts.cost is not None:
        rows.append(("cost of the calls", f"{facts.cost:,.4f} in the currency of the prices"))
    return rows


def say_figures(figures: Mapping[str, Any], settings: Tune) -> list[str]:
    """The table for the terminal, a line for each system."""
    width = max(len(system_name(name, settings)) for name in figures["systems"])
    return [
        f"  {system_name(name, settings):{width}}  {value['mean']:.3f}" for name, value in figures["systems"].items()
    ]


def write(path: Path, facts: Facts) -> None:
    """Replace the page. Raises `DiskFull`."""
    from cli.output import write_text

    write_text(path, render(facts).encode("utf-8", "replace").decode())  # names of files may have bytes that are none
