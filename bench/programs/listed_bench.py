"""Pointwise, setwise and listwise training on the same groups: nDCG@10 of BM25's candidates, and seconds.

`make listed-measured DATA=path` (recipes/limrank_mini/recipe.mk). A group of one positive and four negatives becomes
five records (pointwise), a row with the best one (setwise) and a row in order (listwise): the positive, then the
negatives by a bi-encoder's similarity to the query, as labels alone do not order them. All three see as many tokens of
a group's passages and as many groups in a step. A bench that was stopped goes on; its seconds are then those of the
last part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from contract.files import write_json_lines
from contract.listed.rows import ListKind, list_format
from contract.records import Difficulty, Group, Intent, Record, read_groups, write_records
from evaluation.commands.compare import compare
from evaluation.reports.lines import comparison_line
from retrieval.bi_encoder import BiEncoder
from synth.export.formats import Shape, listwise_of_group, setwise_rows
from synth.run.draws import draw

_NEGATIVES = 4
_GROUPS_IN_A_STEP = 4
_QUESTION_TOKENS = 64  # of query, letters and answer of a row
_SHAPE = Shape(negatives=_NEGATIVES, window=1 + _NEGATIVES)
POINTWISE = "pointwise"
FORMS = (POINTWISE, *map(str, ListKind))


def main() -> None:
    """Print a line for each form as it is measured, then the differences to the pointwise one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True, help="file of groups of one positive and four negatives")
    parser.add_argument("--data", type=Path, required=True, help="BEIR folder of MedQuAD")
    parser.add_argument("--folder", type=Path, default=Path("out/listed"))
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--bi-encoder", required=True, help="folder or hub id; orders the negatives")
    parser.add_argument("--count", type=int, default=600, help="groups to train on")
    parser.add_argument("--queries", type=int, default=60, help="test queries to measure on")
    parser.add_argument("--passage-tokens", type=int, default=80)
    given = parser.parse_args()
    given.folder /= f"{given.count}-groups-of-{given.passage_tokens}-tokens"  # another amount is another training
    given.folder.mkdir(parents=True, exist_ok=True)
    groups = _chosen(given.groups, given.count)
    results = {form: _result(form, groups, given) for form in FORMS}
    for form in map(str, ListKind):
        print(comparison_line(compare(results[form], results[POINTWISE], "nDCG@10")))


def _chosen(path: Path, count: int) -> list[Group]:
    """Groups of equal size, drawn by their ids."""
    groups = [group for group in read_groups(path) if len(group.negatives) >= _NEGATIVES]
    return sorted(groups, key=lambda group: draw(group.id, "listed"))[:count]


def _result(form: str, groups: Sequence[Group], given: argparse.Namespace) -> Path:
    """The folder of a form's result; says its figures."""
    data, run, merged = (given.folder / f"{form}{ending}" for ending in (".jsonl", "-run", "-model"))
    if not data.exists():
        _write(form, groups, data, given)
    tokens = given.passage_tokens
    room = _QUESTION_TOKENS + tokens * (1 if form == POINTWISE else 1 + _NEGATIVES)
    shape = ["--passage-tokens", str(tokens)] if form == POINTWISE else ["--format", form]
    batch = _GROUPS_IN_A_STEP * (1 + _NEGATIVES if form == POINTWISE else 1)
    trained = _timed(
        *("train", "sft", *shape, "--data", data, "--base", given.base, "--folder", run),
        *("--max-tokens", max(room, 256), "--rank", 16, "--alpha", 32, "--learning-rate", 4e-4, "--schedule", "cosine"),
        *("--batch", batch, "--device-batch", 4, "--leg-minutes", 600),
    )
    if not merged.exists():
        _timed("train", "merge", "--base", given.base, "--adapter", run / "adapter", "--out", merged)
    scorer = (
        ["--model", merged, "--max-tokens-per-doc", tokens, "--dtype", "bfloat16"]
        if form == POINTWISE
        else ["--list-model", merged]
    )
    out: Path = given.folder / f"{form}-results-{given.queries}"
    measured = _timed(
        *("eval", "run", "medquad", "--data", given.data, "--tasks", "test", "--first-stage", "bm25", "--depth", 30),
        *("--queries", given.queries, "--out", out, *scorer),
    )
    found = next(iter(out.rglob("result.json")))
    measure = json.loads(found.read_text(encoding="utf-8"))["measures"]["nDCG@10"]
    print(f"{form}: nDCG@10 {measure['mean']:.4f}; training {trained:.0f} s, measuring {measured:.0f} s", flush=True)
    return found.parent


def _write(form: str, groups: Sequence[Group], path: Path, given: argparse.Namespace) -> None:
    if form == POINTWISE:
        write_records(path, (record for group in groups for record in _records(group)))
        return
    kind = ListKind(form)
    made = (row for group in groups for row in setwise_rows(group, _SHAPE))
    write_json_lines(
        path,
        {"format": list_format(kind), "version": 1},
        made if kind is ListKind.SETWISE else _ordered(groups, given),
    )


def _records(group: Group) -> Iterator[Record]:
    for place, passage in enumerate([group.positive, *group.negatives[:_NEGATIVES]]):
        yield Record(
            id=f"{group.id}/{place}",
            query=group.query,
            passage=passage,
            instruction=group.instruction,
            relevant=not place,
            source=group.source,
            licence=group.licence,
            domain=group.domain,
            difficulty=Difficulty.DIRECT,
            intent=Intent.DIRECT,
        )


def _ordered(groups: Sequence[Group], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Listwise rows whose negatives are graded by half of their cosines, so below the positive."""
    encoder = BiEncoder(given.bi_encoder)
    for group in groups:
        negatives = group.negatives[:_NEGATIVES]
        cosines = encoder.encode_passages(negatives) @ encoder.encode_queries([group.query])[0]
        yield from listwise_of_group(group, _SHAPE, [round(float(cosine) / 2, 4) for cosine in cosines])


def _timed(*words: object) -> float:
    """Seconds that a command takes; one that is done ends at once."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "app.cli", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
