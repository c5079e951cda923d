"""Renders the page: tallies, totals and quotas in `page.html`. The template engine escapes every text."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar
from zlib import crc32

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cli.report_page import begin
from contract.records import Record
from retrieval.words import count_words, cut_text, is_unspaced
from synth.audit import charts
from synth.audit.graded import RejectedSample, Scores
from synth.audit.tallies import Tallies
from synth.audit.words import verdict
from synth.run.journal import Status
from synth.run.journal_index import StageTotal

T = TypeVar("T")

PASSAGE_WORDS = 70
TRACE_WORDS = 70
_CHARACTERS_OF_A_WORD = 3  # approximate, for scripts without blanks


@dataclass(frozen=True, slots=True)
class Quotas:
    """The shares configured for a run, by name (on any positive scale); empty if none were configured."""

    domains: Mapping[str, float] = field(default_factory=dict)
    difficulties: Mapping[str, float] = field(default_factory=dict)
    intents: Mapping[str, float] = field(default_factory=dict)
    negative_types: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """The content of a page."""

    title: str
    tallies: Tallies
    totals: Sequence[StageTotal] = ()
    quotas: Quotas = field(default_factory=Quotas)
    rejected: RejectedSample = field(default_factory=lambda: RejectedSample(0, 0))
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `told` is the chart in words, for screen readers."""

    title: str
    note: str
    data: str
    told: str
    wide: bool = False


def render(facts: Facts) -> str:
    """The page as a self-contained HTML text."""
    source = files("synth.audit").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    return template.render(
        begin=Markup(begin(f"Audit of {facts.title}")),  # noqa: S704 - escaped there
        title=facts.title,
        verdict=verdict(facts.tallies, facts.scores),
        lead=_lead(facts.tallies),
        tiles=_tiles(facts),
        charts=_charts(facts),
        costs=_costs(facts.totals),
        examples=[_example(record) for record in facts.tallies.sample.records()],
        filters=_filters(facts.tallies.sample.records()),
        rejected=[_example(each.record) | {"reason": each.reason} for each in facts.rejected.pairs()],
        reasons=facts.rejected.reasons.most_common(),
        groups=_groups(facts.scores),
    )


def _filters(records: Sequence[Record]) -> list[dict[str, str]]:
    """What the examples can be narrowed to: a class of theirs and its name."""
    names = dict.fromkeys(name for record in records for name in _kinds(record))
    ordered = sorted(names)
    return [{"key": _key(name), "name": name} for name in ordered] if len(ordered) > 1 else []


def _kinds(record: Record) -> list[str]:
    label = "relevant" if record.relevant else "not relevant"
    negative = [] if record.negative_type is None else [_spaced(record.negative_type)]
    return [f"label: {label}", f"domain: {record.domain}", *(f"negative: {name}" for name in negative)]


def _key(name: str) -> str:
    """A name of a class in the page, whatever the text."""
    return f"k{crc32(name.encode('utf-8', 'surrogatepass')):08x}"


def _groups(scores: Scores | None) -> list[dict[str, Any]]:
    """The sampled queries of a corpus run with all their passages by score, best first."""
    if scores is None:
        return []
    return [
        {
            "query": query.text,
            "own": query.document,
            "passages": [
                {"id": name, "score": score, "label": _label_of(score, scores), "text": query.texts.get(name, "")}
                for name, score in sorted(query.scores.items(), key=lambda item: (-item[1], item[0]))
            ],
        }
        for query in scores.sampled()
    ]


def _label_of(score: int, scores: Scores) -> str:
    if score >= scores.positive_from:
        return "yes"
    return "no" if score <= scores.negative_to else "none"


def _lead(tallies: Tallies) -> str:
    sources = ", ".join(f"{name} ({count:,})" for name, count in tallies.sources.most_common(6))
    licences = ", ".join(f"{name} ({count:,})" for name, count in sorted(tallies.licences.items()))
    return f"Sources: {sources or 'none'}. Licences: {licences or 'none'}."


def _tiles(facts: Facts) -> list[dict[str, str]]:
    tallies = facts.tallies
    total = tallies.records or 1
    tiles = {
        "accepted examples": f"{tallies.records:,}",
        "of these relevant": f"{100 * tallies.relevant / total:.1f} %",
        "with a trace": f"{100 * tallies.with_trace / total:.1f} %",
        "with an instruction": f"{100 * tallies.with_instruction / total:.1f} %",
    }
    if tallies.agreements:
        tiles["of the judged pairs accepted"] = f"{100 * tallies.records / (tallies.judged or 1):.1f} %"
    if facts.totals:
        cost = sum(line.cost for line in facts.totals)
        tiles["cost in all"] = f"{cost:,.4f}"
        tiles["cost per accepted example"] = f"{cost / total:,.6f}" if tallies.records else "none accepted"
    return [{"name": name, "value": value} for name, value in tiles.items()]


def _charts(facts: Facts) -> list[Chart]:
    tallies, quotas = facts.tallies, facts.quotas
    balance = {"relevant": tallies.relevant, "not relevant": tallies.records - tallies.relevant}
    medians = {name: tallies.median(name) for name in tallies.lengths}
    return [
        _shares("Domains", "the queries' domains", tallies.domains, quotas.domains),
        _shares("Types of negatives", "why they look relevant", tallies.negatives, quotas.negative_types),
        _shares("Difficulty", "what it takes to judge a passage", tallies.difficulties, quotas.difficulties),
        _shares("Intent", "whether indirect relevance is accepted", tallies.intents, quotas.intents),
        Chart(
            "Lengths",
            "medians: " + ", ".join(f"{name} {median}" for name, median in medians.items() if median is not None),
            _encoded(charts.histograms({name: counts for name, counts in tallies.lengths.items() if counts})),
            "distributions in words",
            wide=True,
        ),
        _chart("Label balance", "of the accepted examples", charts.bars(balance, "examples"), balance),
        *_judge_charts(tallies),
        *_score_charts(facts.scores),
        *_stage_charts(facts.totals),
    ]


def _judge_charts(tallies: Tallies) -> list[Chart]:
    if not tallies.agreements:
        return []
    counts = {str(tenth * 10): tallies.agreements.get(tenth, 0) for tenth in range(11)}
    note = f"share of the blind votes for the intended label, {tallies.judged:,} judged pairs"
    return [_chart("Judge agreement", note, charts.columns(counts, "per cent of the votes for the label"), counts)]


def _score_charts(scores: Scores | None) -> list[Chart]:
    if scores is None:
        return []
    counts = {str(score): scores.counts.get(score, 0) for score in range(11)}
    note = (
        f"of {scores.counts.total():,} pairs; up to {scores.negative_to} a negative, from {scores.positive_from} a "
        f"positive, {scores.between:,} between them without a label"
    )
    return [_chart("Scores", note, charts.columns(counts, "score"), counts)]


def _stage_charts(totals: Sequence[StageTotal]) -> list[Chart]:
    if not totals:
        return []
    stages: dict[str, Counter[str]] = {}
    money: dict[str, float] = {}
    one_model = len({line.model for line in totals}) == 1
    for line in totals:
        stages.setdefault(line.stage, Counter())[line.status] += line.rows
        name = line.stage if one_model else f"{line.stage.partition('.')[2]}, {line.model}"
        money[name] = money.get(name, 0.0) + line.cost
    values = {name: counts.get(Status.ACCEPTED, 0) for name, counts in stages.items()}
    drawn = [
        _chart(
            "Acceptance by stage", "replies, and the share of them accepted", charts.stacked(stages, "replies"), values
        )
    ]
    if any(money.values()):
        drawn.append(_chart("Cost", "by stage and model", charts.bars(money, "money", "{:,.4f}"), money))
    return drawn


def _costs(totals: Sequence[StageTotal]) -> list[dict[str, str]]:
    by_stage: dict[tuple[str, str], list[StageTotal]] = {}
    for line in totals:
        by_stage.setdefault((line.stage, line.model), []).append(line)
    return [
        {
            "stage": stage,
            "model": model,
            "replies": f"{sum(line.rows for line in lines):,}",
            "accepted": f"{sum(line.rows for line in lines if line.status is Status.ACCEPTED):,}",
            "prompt": f"{sum(line.prompt_tokens for line in lines):,}",
            "completion": f"{sum(line.completion_tokens for line in lines):,}",
            "cost": f"{sum(line.cost for line in lines):,.4f}",
        }
        for (stage, model), lines in by_stage.items()
    ]


def _example(record: Record) -> dict[str, Any]:
    """An example. The texts that a judge saw are separate from the decision, so that a reader can decide first."""
    seen = [("instruction", record.instruction, PASSAGE_WORDS), ("passage", record.passage, PASSAGE_WORDS)]
    judged = [_spaced(record.negative_type)] if record.negative_type is not None else []
    if record.votes is not None:
        judged.append(f"votes: {record.votes.true} true, {record.votes.false} false")
    return {
        "id": record.id,
        "kinds": " ".join(map(_key, _kinds(record))),
        "query": record.query,
        "relevant": record.relevant,
        "facts": [record.domain, f"{_spaced(record.difficulty)} query", f"{record.intent} relevance wanted"],
        "seen": [_part(name, text, shown) for name, text, shown in seen if text is not None],
        "judged": judged,
        "reasons": [_part("trace", record.trace, TRACE_WORDS)] if record.trace is not None else [],
    }


def _part(name: str, text: str, shown: int) -> dict[str, object]:
    """A text cut after `shown` words if much more follows; the page folds the rest."""
    if is_unspaced(text):
        head = cut_text(text, _CHARACTERS_OF_A_WORD * shown)
        return {"name": name, "shown": head, "rest": text[len(head) :], "left": count_words(text[len(head) :])}
    words = text.split()
    if len(words) <= shown + 15:
        return {"name": name, "shown": text, "rest": "", "left": 0}
    return {"name": name, "shown": " ".join(words[:shown]), "rest": " ".join(words[shown:]), "left": len(words) - shown}


def _shares(title: str, note: str, counts: Mapping[str, int], quotas: Mapping[str, float]) -> Chart:
    counts, quotas = _spaced_names(counts), _spaced_names(quotas)
    asked = "what came out, against the quotas" if quotas else "no quotas were set"
    return _chart(title, f"{note}; {asked}", charts.shares(counts, quotas), counts)


def _chart(title: str, note: str, svg: str, values: Mapping[str, float]) -> Chart:
    return Chart(title, note, _encoded(svg), ", ".join(f"{name} {value:,.6g}" for name, value in values.items()))


def _spaced_names(counts: Mapping[str, T]) -> dict[str, T]:
    return {_spaced(name): count for name, count in counts.items()}


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _encoded(svg: str) -> str:
    return b64encode(svg.encode()).decode()
