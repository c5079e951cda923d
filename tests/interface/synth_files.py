"""The files that limrank-synth writes: run folders of both methods, records, groups and what stands beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.interface.folders import folder_pins
from tests.interface.programs import Program
from tests.synth.endpoint import WORDS, ScriptedEndpoint

THINGS = ("rose", "fern", "pond", "hedge", "moss", "lawn")
TRACE = "The query asks about bread. The passage explains it."


def synth_pins(synth: Program, folder: Path) -> dict[str, set[str]]:
    """Make small files with every command that writes some, in `folder`."""
    inputs, out = folder / "inputs", folder / "out"
    inputs.mkdir(parents=True)
    _write_inputs(inputs)
    with ScriptedEndpoint() as endpoint:
        _run_both_methods(synth, inputs, out, endpoint.url)
    _import(synth, inputs, out)
    header, first, *_ = (out / "beir.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (inputs / "twice.jsonl").write_text(header + first + first, encoding="utf-8")
    for name, source in (("verified", out / "limrank"), ("once", inputs / "twice.jsonl")):
        synth.succeed("verify", source, out / f"{name}.jsonl")
    for kind in ("pointwise", "lce", "setwise", "listwise"):
        synth.succeed("export", out / f"{kind}.jsonl", "--mix", out / "limrank", "--format", kind)
    synth.succeed("audit", out / "limrank", out / "audit.html")
    pins = folder_pins(out, "synth", lambda name: "/templates/" not in name)
    for method in ("limrank", "corpus"):
        pins |= {f"synth: {method}/{pin}" for pin in _what_resuming_needs(out / method)}
    return {
        "files of limrank-synth": pins,
        "filters": _filters(synth, out),
        "prompt templates": _templates(out / "limrank" / "templates"),
    }


def _what_resuming_needs(run: Path) -> set[str]:
    """A folder of an earlier version is resumed where plan and questions are found to be the same by their hashes."""
    journal = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    rows = [json.loads(line) for line in journal]
    found = {f"journal.jsonl {name}={row[name]}" for row in rows for name in ("stage", "status")}
    for stage in {row["stage"] for row in rows}:
        keys = "".join(sorted(row["key"] for row in rows if row["stage"] == stage))
        found.add(f"journal.jsonl keys of {stage}, sha256={sha256(keys.encode()).hexdigest()}")
    for name in ("plan.jsonl", "candidates.jsonl"):
        if (run / name).exists():
            header = json.loads((run / name).read_text(encoding="utf-8").splitlines()[0])
            found.add(f"{name} fingerprint={header['fingerprint']}")
    return found


def _filters(synth: Program, out: Path) -> set[str]:
    said = synth.call("verify", out / "limrank", out / "nothing.jsonl", "--filters", "nosuch").err
    return set(said.partition("the filters are ")[2].strip(" .\n").split(", "))


def _templates(folder: Path) -> set[str]:
    """The templates by name, with the variables that a user's own may hold."""
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    variables = {f"{name} ${word}" for name, text in found.items() for word in re.findall(r"\$\{?(\w+)", text)}
    return set(found) | variables


def _run_both_methods(synth: Program, inputs: Path, out: Path, url: str) -> None:
    endpoint: dict[str, object] = {}
    for role in ("generator", "judge"):
        endpoint |= {f"{role}.base-url": url, f"{role}.model": role, f"{role}.key-variable": ""}
    limrank = {
        "limrank.seeds": inputs / "seeds.jsonl",
        "limrank.seeds-licence": "CC0-1.0",
        "limrank.personas": inputs / "personas.jsonl",
        "limrank.personas-licence": "CC0-1.0",
        "limrank.domains": '{"law": {"share": 1}}',
    }
    corpus = {
        "corpus.documents": inputs / "corpus.jsonl",
        "corpus.documents-licence": "CC0-1.0",
        "corpus.examples": inputs / "examples.jsonl",
        "corpus.examples-licence": "CC0-1.0",
        "corpus.candidates": len(THINGS),  # so that a tie in their order changes nothing
    }
    for method, settings in (("limrank", limrank), ("corpus", corpus)):
        flags = {"method": method} | endpoint | settings
        synth.succeed("run", out / method, *(word for name, value in flags.items() for word in (f"--{name}", value)))


def _import(synth: Program, inputs: Path, out: Path) -> None:
    labels = ("--source", "own", "--licence", "CC0-1.0")
    synth.succeed("import", "beir", inputs, out / "beir.jsonl", *labels)
    synth.succeed("import", "rank1", inputs / "rank1.jsonl", out / "rank1.jsonl", *labels)


def _write_inputs(folder: Path) -> None:
    _write(folder / "seeds.jsonl", ({"id": f"s{n}", "text": f"what is thing number {n}"} for n in range(3)))
    _write(folder / "personas.jsonl", ({"persona": f"Lawyer number {n}.", "domain": "law"} for n in range(3)))
    _write(folder / "examples.jsonl", ({"query": f"how much water does a {thing} want"} for thing in THINGS))
    texts = {f"d{n}": f"A {thing} wants {n} litres. {WORDS[n]} waits." for n, thing in enumerate(THINGS)}
    _write(folder / "corpus.jsonl", ({"_id": name, "title": "", "text": text} for name, text in texts.items()))
    _write(folder / "queries.jsonl", [{"_id": "q1", "text": "how much water does a rose want"}])
    (folder / "qrels").mkdir()
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td0\t1\n")
    asked = {"query": "how does bread rise", "passage": "Yeast makes gas.", "relevant": True, "trace": TRACE}
    _write(folder / "rank1.jsonl", [asked, {"query": "a row cut short"}])


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
