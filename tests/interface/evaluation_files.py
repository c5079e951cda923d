"""The files that limrank-eval writes: results, journals, comparisons, the report."""

from __future__ import annotations

import json
from pathlib import Path

from tests.evaluation.answer_endpoint import endpoint
from tests.evaluation.small_data import beir_folder, gpqa_folder, medquad_folder
from tests.interface.folders import folder_pins
from tests.interface.programs import Program


def evaluation_pins(evaluate: Program, folder: Path) -> dict[str, set[str]]:
    """Make results with every command that writes some and needs no model, in `folder`."""
    out = folder / "out"
    small = beir_folder(folder / "small")
    evaluate.succeed("run", "beir", "--data", small, "--out", out, "--bm25")
    evaluate.succeed("run", "beir", "--data", small, "--out", out, "--run-file", small / "candidates.trec")
    evaluate.succeed("run", "litsearch", "--data", folder / "nothing", "--out", out, "--bm25")
    _probe(evaluate, folder, out)
    _answer(evaluate, folder, out)
    results = sorted(path.parent for path in out.rglob("result.json"))
    evaluate.succeed("compare", *results[:2], "--out", out / "comparison.json")
    evaluate.succeed("report", out)
    pins = folder_pins(out, "eval", lambda name: name != "report.json")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    pins |= {f"eval: report.json {name}" for name in report} | {
        f"eval: report.json results {n}" for n in report["results"]
    }
    return {"files of limrank-eval": pins | {f"eval: {pin}" for pin in _what_resuming_needs(out)}}


def _what_resuming_needs(out: Path) -> set[str]:
    """Scores of an earlier version are taken where they belong to the same texts and scorer."""
    found = set()
    for path in sorted(out.rglob("scores.jsonl")):
        belongs_to = json.loads(path.read_text(encoding="utf-8").splitlines()[0])["belongs_to"]
        name = path.relative_to(out).as_posix()
        found |= {f"{name} header belongs_to.{key}={belongs_to[key]}" for key in ("kind", "task", "texts")}
    return found


def _probe(evaluate: Program, folder: Path, out: Path) -> None:
    """Calibration and injections, on questions of one kind."""
    data = medquad_folder(folder / "questions")
    flags = ("--data", data, "--out", out, "--bm25")
    evaluate.succeed("calibrate", *flags, "--pairs", 10, "--fit-split", "train", "--fit-pairs", 10)
    evaluate.succeed("injections", *flags, "--passages", 2, "--depth", 3)


def _answer(evaluate: Program, folder: Path, out: Path) -> None:
    with endpoint(lambda said: '{"answer": "A"}') as scripted:
        asked = {"data": gpqa_folder(folder / "gpqa"), "passages": folder / "small", "out": out, "shown": 1, "depth": 3}
        asked |= {"answer-url": scripted.url, "answer-model": "scripted"}
        evaluate.succeed("rag", "--bm25", *(word for name, value in asked.items() for word in (f"--{name}", value)))
