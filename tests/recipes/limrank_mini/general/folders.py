"""A small data folder in the layout of the general data: things, each with words of its own, in several documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

THINGS = ("oak", "salt", "iron", "rice", "wool", "clay", "silk", "lead", "corn", "jade", "chalk", "amber")
_WORDS = (
    "green tall salty white heavy dark wet small soft warm red hot smooth pale hard blunt yellow sweet cold blue dusty "
    "gold forest ocean anvil paddy sheep kiln moth pipe cob temple school bead leaf wave rail bowl yarn brick thread "
    "roof husk ring board fly acorn brine rust steam loom glaze cocoon paint kernel carving slate resin root crystal "
    "bridge"
)
WORDS = _WORDS.split()
DEV = "amber"  # the thing whose documents are held out
UNSEEN = "chalk"  # the thing that an unseen source is about


def passage_of(thing: str, part: int) -> dict[str, Any]:
    """A passage of some sentences, each naming its thing; part 0 holds the answer."""
    words = WORDS[THINGS.index(thing) :: len(THINGS)] if thing in THINGS else WORDS
    first, second, third, fourth, fifth = words[:5]
    said = (
        f"The {thing} {first} {second} and the {thing} {third} {first}, as {second} {thing} {first} {third}.",
        f"Every year the {thing} needs {3 + part} days before anyone may touch it.",
        f"{second.title()} {third} {fourth} {thing} {fifth} {first} {second} {third} {fourth} {fifth} {thing}.",
        f"{fourth.title()} {fifth} {fourth} {thing} {fifth} {third} {second} {first} {fourth} {thing} {first}.",
        f"{third.title()} {first} {third} {part} {thing} {second} {fourth} {fifth} {third} {thing} {second}.",
    )
    source = "clapnq" if thing == UNSEEN else "handbook" if len(thing) % 2 else "textbook"
    data = {"source": source, "licence": "CC BY 4.0", "domain": "things", "doc": f"doc-{thing}"}
    return {"_id": f"{thing}-{part}", "title": thing.title(), "text": " ".join(said), "metadata": data}


def query_of(thing: str) -> dict[str, Any]:
    data = {
        "source": "textbook",
        "licence": "CC BY-SA 4.0",
        "domain": "things",
        "kind": "question",
        "evidence": f"Every year the {thing} needs 3 days before anyone may touch it.",
        "answer": f"{thing} needs 3 days",
    }
    return {"_id": f"q-{thing}", "text": f"How many days does {thing} need?", "metadata": data}


def write_general(folder: Path) -> Path:
    """Twelve things, two passages each. Returns the folder that holds general/."""
    general = folder / "general"
    (general / "qrels").mkdir(parents=True)
    corpus = [passage_of(thing, part) for thing in THINGS for part in range(2)]
    # Says the same as a relevant passage, in another document: no negative of its question.
    corpus.append(passage_of("oak", 0) | {"_id": "oak-copy", "metadata": corpus[1]["metadata"] | {"doc": "doc-copy"}})
    write_lines(general / "corpus.jsonl", corpus)
    write_lines(general / "queries.jsonl", [query_of(thing) for thing in THINGS])
    judged = {
        "train": [thing for thing in THINGS if thing not in {DEV, UNSEEN}],
        "dev": [DEV],
        "unseen": [UNSEEN],
    }
    for split, things in judged.items():
        lines = ["query-id\tcorpus-id\tscore", *(f"q-{thing}\t{thing}-0\t1" for thing in things)]
        (general / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    ids = [row["_id"] for row in corpus]
    lines = [
        f"q-{thing} Q0 {name} {rank + 1} {30 - rank} b" for thing in judged["train"] for rank, name in enumerate(ids)
    ]
    (general / "candidates_bm25_train.trec").write_text("\n".join(lines) + "\n")
    return folder


def write_medquad(folder: Path, excluded: str) -> Path:
    """Documents of a train and a test split in `folder`/medquad, one of them excluded."""
    medquad = folder / "medquad"
    (medquad / "qrels").mkdir(parents=True)
    corpus = [passage_of(f"gout{number}", 0) | {"_id": f"m{number}"} for number in range(6)]
    write_lines(medquad / "corpus.jsonl", corpus)
    write_lines(
        medquad / "queries.jsonl", [{"_id": f"q-m{number}", "text": f"What is gout{number}?"} for number in range(6)]
    )
    for split, numbers in {"train": (0, 1, 2, 3), "dev": (4,), "test": (5,)}.items():
        lines = ["query-id\tcorpus-id\tscore", *(f"q-m{number}\tm{number}\t1" for number in numbers)]
        (medquad / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (medquad / "exclude_from_training.txt").write_text(f"{excluded}\n")
    return medquad


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
