"""Which documents are worked with, and which of them are held out before anything is trained."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Sequence

from app.tune.documents.document import Document
from app.tune.documents.passages import Passage, passages_of
from cli.errors import BadInput
from contract.reading import reading_key
from synth.run.draws import draw
from synth.scratch import digest

HELD_OUT = 0.2  # share of the documents
LEAST_DOCUMENTS = 4
_Chosen = tuple[float, str, list[Passage]]


def chosen_passages(
    documents: Iterable[Document], most: int, wanted: Collection[str], report: Callable[[int, int], None]
) -> tuple[list[Passage], int]:
    """The passages of all documents, or of documents drawn by their ids until there are `most`; and how many documents
    had one. `wanted` documents are taken always. Only what is kept is in memory. `report` is told of documents read and
    passages kept."""
    always: list[_Chosen] = []
    drawn: list[_Chosen] = []  # a heap with the largest draw first
    with_text = kept = 0
    for seen, document in enumerate(documents, start=1):
        passages = list(passages_of(document))
        if passages:
            with_text += 1
            kept += len(passages)
            entry = (-draw(document.id, "chosen"), document.id, passages)
            if document.id in wanted:
                always.append(entry)
            else:
                heapq.heappush(drawn, entry)
        while drawn and kept - len(drawn[0][2]) >= most:
            kept -= len(heapq.heappop(drawn)[2])
        report(seen, kept)
    listed = sorted([*always, *drawn], key=lambda entry: entry[1])
    return _without_copies(passage for _, _, passages in listed for passage in passages), with_text


def held_out_documents(passages: Sequence[Passage], judged: Collection[str]) -> list[str]:
    """The documents that nothing is learned from: those that judgements name, else a fifth, drawn by their ids.

    Raises `BadInput` where too few documents are left on either side.
    """
    ids = list(dict.fromkeys(passage.document for passage in passages))
    if len(ids) < LEAST_DOCUMENTS:
        raise BadInput(
            f"There {'is 1 document' if len(ids) == 1 else f'are {len(ids)} documents'} with text, and "
            f"{LEAST_DOCUMENTS} are the least, as some must be held out to measure on; give more, or split a large one "
            "into files."
        )
    held = [name for name in ids if name in judged]
    if judged and not held:
        raise BadInput(
            f"None of the {len(judged)} documents that --queries calls relevant is among the documents; their ids are "
            f"like {ids[0]!r}."
        )
    if not held:
        count = max(1, round(HELD_OUT * len(ids)))
        held = sorted(sorted(ids, key=lambda name: draw(name, "held out"))[:count])
    if len(ids) - len(held) < 2:
        raise BadInput(
            f"The judgements of --queries name {len(held)} of {len(ids)} documents, which are held out and leave too "
            "few to train on; give more documents."
        )
    return held


def _without_copies(passages: Iterable[Passage]) -> list[Passage]:
    found: dict[bytes, Passage] = {}
    for passage in passages:
        found.setdefault(digest(reading_key(passage.text)), passage)
    return list(found.values())
