"""The steps of the model: trained on the groups, measured against what was there before, and put beside the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tune import training
from app.tune.given import Given
from app.tune.groups.candidates import Found
from app.tune.results.systems import NEW, SHIPPED, verdict
from contract.records import join_licences
from contract.scored_groups import read_scored_groups

Told = Mapping[str, Any]


def train(given: Given, key: str) -> Told:
    """Trains on groups.jsonl in a folder of its own for each `key`, which `training` then links to."""
    work = given.work
    groups = sum(1 for _ in read_scored_groups(work.file("groups.jsonl")))
    folder = work.only(f"training-{key}", "training-*")
    folder.mkdir(exist_ok=True)
    _point(work.file("training"), folder.name)
    return training.train(
        given.plan, work.file("groups.jsonl"), groups, folder, work.file("train.log"), given.progress.at
    )


def evaluate(given: Given, key: str) -> Told:
    """Ranks the held-out queries' candidates; what a stopped evaluation of the same `key` has ranked is kept."""
    from app.tune.results import measuring
    from app.tune.results.score_log import ScoreLog

    work = given.work
    queries = {query.id: query for query in given.all_queries()}
    found = {row["query"]: Found.from_row(row) for row in work.rows("candidates.jsonl")}
    reserved = [measuring.Case(queries[name], found[name]) for name in work.json("reserved.json")["queries"]]
    cases = [measuring.Case(queries[name], each) for name, each in found.items() if queries[name].held_out]
    passages = given.all_passages()
    models = {SHIPPED: given.base, NEW: work.file("training/model")}
    with ScoreLog(work.only(f"evaluation-{key}.jsonl", "evaluation-*")) as log:
        scores = measuring.scored([*reserved, *cases], passages, models, log, given.progress.at)
    weights = measuring.weights_of(reserved, passages, scores)
    ranked = measuring.rankings(cases, passages, scores, weights)
    figures = measuring.measured(cases, passages, ranked, weights)
    work.write_json("measured.json", figures)
    work.write_json("extremes.json", {"cases": measuring.extremes(cases, passages, ranked, figures)})
    helps, told = verdict(figures)
    return {"helps": helps, "verdict": told}


def finish(given: Given) -> Told:
    """Puts the model with its card beside the report."""
    from trainer.publish.model_card import model_card

    folder = given.work.file("training")
    manifest = training.own_manifest(folder / "model")
    figures = given.work.json("measured.json")
    scores = {name: round(value["mean"], 4) for name, value in figures["systems"].items()}
    result = {"scores": scores, "protocol": {"passage": "as split"}, "queries": figures["queries"]}
    card = model_card(manifest, None, {f"held-out queries of its documents, {figures['measure']}": result})
    training.publish(folder, given.settings.out / "model", card)
    return {"licences": join_licences(manifest.licences)}


def _point(link: Path, name: str) -> None:
    """A link to the folder of the training at hand, replaced in one step."""
    part = link.with_name(f"{link.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(name, target_is_directory=True)
    part.replace(link)
