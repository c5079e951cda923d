"""`limrank tune` on the documentation of three public projects: nDCG@10 on held-out queries, time, memory.

`make tune-measured`, or for one of them `make tune-measured ONLY=flask`; TUNE="--test-queries 400" narrows the
intervals. The documents are small copies out of the projects' source packages on PyPI (Flask: BSD-3-Clause;
pip and pytest: MIT), in --folder, where the results lie too; a run that was stopped goes on. With --scripted an
endpoint by rules takes the place of a language model: a query is nine words of a sentence, a grade the share of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from retrieval.sentences import split_sentences
from retrieval.words import search_terms
from synth.run.draws import choose
from tests.synth.endpoint import Fault, ScriptedEndpoint

_SHOWN = re.compile(r'^(document|query|passage): (".*")$', re.MULTILINE)
_READ = (".md", ".rst", ".txt", ".html")


@dataclass(frozen=True, slots=True)
class Project:
    """A source package, the folder of its documents within, and their licence."""

    name: str
    version: str
    documents: str
    licence: str


PROJECTS = (
    Project("flask", "3.1.3", "docs", "BSD-3-Clause"),
    Project("pip", "26.3", "docs/html", "MIT"),
    Project("pytest", "9.2.0", "doc/en", "MIT"),
)


def main() -> None:
    """Print a table with a line for each project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("out/tune"))
    parser.add_argument("--only", choices=[project.name for project in PROJECTS], nargs="*")
    parser.add_argument("--scripted", action="store_true", help="an endpoint by rules writes and grades")
    parser.add_argument("flags", nargs="*", help="further flags of limrank tune, behind --")
    given = parser.parse_args()
    chosen = [project for project in PROJECTS if not given.only or project.name in given.only]
    with ScriptedEndpoint(script=_by_rules, keep=False) as endpoint:
        asked = ["--llm", endpoint.url, "--llm-model", "rules", "--llm-key-variable", ""] if given.scripted else []
        for project in chosen:
            documents = copy_documents(project, given.folder)
            out = given.folder / f"{project.name}-{'written' if given.scripted else 'tuned'}"
            print(_measured(project, documents, out, [*asked, *given.flags]), flush=True)


def _by_rules(number: int, request: dict[str, Any]) -> Fault:
    """The reply to one request."""
    prompt = request["messages"][-1]["content"]
    shown = {name: json.loads(text) for name, text in _SHOWN.findall(prompt)}
    if "document" in shown:
        sentences = [words for sentence in split_sentences(shown["document"]) if len(words := sentence.split()) > 5]
        words = choose(sentences, prompt, "sentence") if sentences else shown["document"].split()
        return Fault(content=json.dumps({"queries": [" ".join(words[:9])]}))
    asked = set(search_terms(shown["query"]))
    share = len(asked & set(search_terms(shown["passage"]))) / max(1, len(asked))
    return Fault(
        content=json.dumps({"reasoning": "The passage has some of the query's words.", "score": round(10 * share)})
    )


def copy_documents(project: Project, folder: Path) -> Path:
    """The documents of a project in a folder of their own, fetched unless they are there."""
    out = folder / project.name
    if out.exists():
        return out
    package = _fetched(project, folder / "packages")
    part = out.with_name(f"{out.name}.part")
    with tarfile.open(package) as archive:
        for member in archive:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if member.isfile() and path.is_relative_to(project.documents) and path.suffix in _READ:
                target = part / path.relative_to(project.documents)
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
    part.rename(out)
    return out


def _fetched(project: Project, folder: Path) -> Path:
    """The source package, by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), f"{project.name}=={project.version}"], check=True)
    return folder / f"{project.name}-{project.version}.tar.gz"


def _measured(project: Project, documents: Path, out: Path, flags: Sequence[str]) -> str:
    """Run the command, or the rest of it; its figures in a line."""
    words = [sys.executable, "-m", "app.cli", "tune", str(documents), "--out", str(out), "--licence", project.licence]
    begun = time.monotonic()
    process = subprocess.Popen([*words, *flags])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        return f"{project.name}: failed"
    found: dict[str, Any] = json.loads((out / "work" / "measured.json").read_text(encoding="utf-8"))
    systems = ", ".join(f"{name} {value['mean']:.3f}" for name, value in found["systems"].items())
    gap = found["against"][found["rival"]]
    difference = gap["difference"]
    return (
        f"{project.name} {project.version}: {found['measure']} on {found['queries']} queries: {systems}; new model "
        f"minus {found['rival']} {difference['mean']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f}, p = "
        f"{gap['p_randomization']:.4f}); {seconds / 60:.0f} min, at most {usage.ru_maxrss / 1024:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
