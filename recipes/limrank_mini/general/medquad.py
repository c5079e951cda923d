"""MedQuAD's groups, as written by `recipes.limrank_mini import`, with shorter passages; and its texts as pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contract.records import Group, licence_parts, read_groups
from recipes.limrank_mini.general.drafts import Draft
from recipes.limrank_mini.general.sentences import cut
from recipes.limrank_mini.general.sources import Passage
from retrieval.beir import BeirFolder
from retrieval.rejects import Refusing
from synth.methods.distil.chunks import chunks
from synth.run.draws import draw

NEGATIVES = 4
_LENGTHS = (90, 90, 90, 130, 200)  # words at which passages are cut: most are served cut at 128 tokens


def medquad_groups(groups: Path, count: int) -> Iterator[Draft]:
    """Up to `count` groups, drawn by id; the negatives are drawn again from those in the file."""
    drawn = sorted(read_groups(groups), key=lambda group: draw(group.id, "medquad"))
    for group in drawn[:count]:
        yield _draft(group)


def medquad_pieces(folder: Path, excluded: frozenset[str], count: int) -> list[Passage]:
    """Up to `count` passages of documents that the train split judges and no other split does."""
    beir = BeirFolder(folder, Refusing())
    judged = {split: set().union(*beir.judgements(split).values()) for split in ("train", "dev", "test")}
    allowed = judged["train"] - judged["dev"] - judged["test"] - excluded
    pieces = [
        Passage(f"{document.id}/{number}", text, text, "medquad", "CC-BY-4.0", "healthcare", document.id)
        for document in beir.documents()
        if document.id in allowed
        for number, text in enumerate(chunks(document.id, document.text))
    ]
    return sorted(pieces, key=lambda piece: draw(piece.id, "medquad piece"))[:count]


def _draft(group: Group) -> Draft:
    most = _LENGTHS[int(draw(group.id, "length") * len(_LENGTHS))]
    negatives = sorted(group.negatives, key=lambda text: draw(group.id, "negative", text))[:NEGATIVES]
    passages = tuple(dict.fromkeys(cut(text, most) for text in (group.positive, *negatives)))
    return Draft(
        group.id,
        group.query,
        passages,
        True,
        group.source,
        licence_parts(group.licence),
        group.domain,
        group.instruction,
        taught=False,  # MiniLM recognises the disease but not the aspect, which is all that these labels teach
    )
