"""What one scorer did on one task: measures with intervals, against its first stage and the best it could have done."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluation.benchmarks.task import ALTERED, ORIGINAL, Query, Task, topic
from evaluation.errors import BadData
from evaluation.metrics import by_order, mean, oracle, per_query
from evaluation.p_mrr import p_mrr
from evaluation.scorers.scorer import Scored
from evaluation.scoring import ranking
from evaluation.significance import interval, paired
from retrieval.trec import Qrels, Run, write_run

FORMAT = "limrank.evaluation"
VERSION = 1


def assess(
    task: Task, queries: Sequence[Query], candidates: Run, scored: dict[str, dict[str, Scored]]
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The figures as JSON, and measure -> query -> value. Intervals and tests are over topics: FollowIR has two queries
    of each."""
    asked = [query.id for query in queries]
    judged = {query: task.qrels.get(query, {}) for query in asked}
    order = ranking(scored)
    values = per_query(judged, by_order(order), task.measures)
    before = per_query(judged, by_order(candidates), task.measures)
    best = per_query(judged, oracle(judged, candidates), task.measures[:1])
    figures: dict[str, Any] = {
        "queries": len(asked),
        "of_queries": len(task.queries),
        "pairs": sum(map(len, candidates.values())),
        "measures": {name: asdict(interval(list(by_topic(found).values()))) for name, found in values.items()},
        "first_stage": {name: mean(found) for name, found in before.items()},
        "best_possible": {name: mean(found) for name, found in best.items()},
        "against_first_stage": _gain(by_topic(values[task.measures[0]]), by_topic(before[task.measures[0]])),
        "groups": _groups(queries, values[task.measures[0]]),
        "endings": _endings(scored),
        "readings": {name: _reading(qrels, asked, order, candidates, task) for name, qrels in task.readings.items()},
    }
    if task.changed:
        changes = p_mrr(_half(order, ORIGINAL), _half(order, ALTERED), task.changed)
        values["p-MRR"] = changes
        if changes:
            figures["measures"] = {"p-MRR": asdict(interval(list(changes.values()))), **figures["measures"]}
    return figures, values


def write_result(
    folder: Path,
    task: Task,
    *,
    benchmark: str,
    scorer: str,
    identity: Mapping[str, Any],
    first_stage: str,
    depth: int,
    figures: Mapping[str, Any],
    values: Mapping[str, Mapping[str, float]],
    scored: dict[str, dict[str, Scored]],
    seconds: float,
) -> dict[str, Any]:
    """Write `run.trec`, `per_query.tsv` and, last, `result.json` into `folder`; the content of the last."""
    order = ranking(scored)
    write_run(
        folder / "run.trec",
        {query: {document: scored[query][document].score for document in found} for query, found in order.items()},
        scorer.replace(" ", "-"),
    )
    write_per_query(folder / "per_query.tsv", values)
    result = {
        "format": FORMAT,
        "version": VERSION,
        "benchmark": benchmark,
        "task": task.name,
        "scorer": scorer,
        "identity": dict(identity),
        "protocol": replace(task.protocol, first_stage=first_stage, depth=depth).to_json(),
        **figures,
        "seconds": round(seconds, 1),
        "made": made(),
    }
    write_json(folder / "result.json", result)
    return result


def by_topic(values: Mapping[str, float]) -> dict[str, float]:
    """Values of queries as those of their topics: the mean of FollowIR's two queries, any other as it is."""
    found: dict[str, list[float]] = {}
    for query, value in values.items():
        found.setdefault(topic(query), []).append(value)
    return {name: sum(both) / len(both) for name, both in found.items()}


def made() -> dict[str, Any]:
    """When and on what: for the reader, not for comparison."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def write_per_query(path: Path, values: Mapping[str, Mapping[str, float]]) -> None:
    """One line for each query, one column for each measure; empty where a measure has no value for a query."""
    queries = sorted({query for found in values.values() for query in found})
    lines = ["\t".join(["query", *values])]
    for query in queries:
        cells = [f"{found[query]:.6f}" if query in found else "" for found in values.values()]
        lines.append("\t".join([query, *cells]))
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(path)


def read_per_query(path: Path) -> dict[str, dict[str, float]]:
    """measure -> query -> value, as `write_per_query` wrote it."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    names = head.split("\t")[1:]
    values: dict[str, dict[str, float]] = {name: {} for name in names}
    for line in lines:
        query, *cells = line.split("\t")
        for name, cell in zip(names, cells, strict=True):
            if cell:
                values[name][query] = float(cell)
    return values


def read_result(folder: Path) -> dict[str, Any]:
    """What `write_result` wrote into a folder. Raise BadData where there is none."""
    path = folder / "result.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT or not isinstance(found["task"], str):
            raise ValueError("it is of another kind")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path} cannot be read ({error}); name the folder of one result.") from None
    return dict(found)


def _gain(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, Any]:
    """The paired comparison with the first stage, and the change of each query, largest first."""
    changes = sorted((round(after[query] - before[query], 4) for query in after), reverse=True)
    return asdict(paired(after, before)) | {"changes": changes}


def _reading(
    qrels: Qrels, asked: Sequence[str], order: Mapping[str, Sequence[str]], candidates: Run, task: Task
) -> dict[str, Any]:
    judged = {query: qrels.get(query, {}) for query in asked}
    headline = task.measures[0]
    found = per_query(judged, by_order(order), task.measures)
    return {
        "measures": {name: asdict(interval(list(one.values()))) for name, one in found.items()},
        "first_stage": mean(per_query(judged, by_order(candidates), [headline])[headline]),
        "best_possible": mean(per_query(judged, oracle(judged, candidates), [headline])[headline]),
    }


def _groups(queries: Sequence[Query], values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    names = sorted({query.group for query in queries if query.group is not None})
    members = {name: [values[query.id] for query in queries if query.group == name] for name in names}
    return {name: {"queries": len(found), "mean": sum(found) / len(found)} for name, found in members.items()}


def _endings(scored: dict[str, dict[str, Scored]]) -> dict[str, int]:
    """How traces ended, by count: a trace that a deadline closed is not what the model would have written."""
    return dict(Counter(one.status for found in scored.values() for one in found.values() if one.status is not None))


def _half(order: Mapping[str, Sequence[str]], ending: str) -> dict[str, Sequence[str]]:
    return {query.removesuffix(ending): found for query, found in order.items() if query.endswith(ending)}
