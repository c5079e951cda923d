"""Draft: a group before scoring by the bi-encoder; and the scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from contract.records import join_licences
from contract.scored_groups import ScoredGroup
from recipes.limrank_mini.general.vectors import Encoder

LONGEST = 300  # words of a passage
SHORTEST = 10  # words of a passage

_LICENCES = {
    "CC BY 4.0": "CC-BY-4.0",
    "CC BY 3.0": "CC-BY-3.0",
    "CC BY-SA 4.0": "CC-BY-SA-4.0",
    "CC BY-SA 3.0": "CC-BY-SA-3.0",
    "CC0 1.0": "CC0-1.0",
    "CC0 1.0 / US public domain": "CC0-1.0",
    "Unlicense / public domain": "Unlicense",
    "public domain": "LicenseRef-public-domain",
    "WordNet 3.0 licence (BSD-like)": "LicenseRef-WordNet-3.0",
    "PostgreSQL licence (BSD-like)": "PostgreSQL",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """`passages` are texts, the positive first if `labelled`. `taught` is False for labels that know more than the
    teacher."""

    id: str
    query: str
    passages: tuple[str, ...]
    labelled: bool
    source: str
    licences: tuple[str, ...]
    domain: str
    instruction: str | None = None
    taught: bool = True


def scored(
    drafts: Sequence[Draft], encoder: Encoder, report: Callable[[int, int], None] | None = None
) -> Iterator[ScoredGroup]:
    """Scores the drafts: the cosine of the query (without its instruction) and each passage, rounded to four
    decimals."""
    taught = (draft for draft in drafts if draft.taught)
    texts = list(dict.fromkeys(text for draft in taught for text in (draft.query, *draft.passages)))
    places = {text: place for place, text in enumerate(texts)}
    vectors = encoder(texts, report)
    for draft in drafts:
        cosines: Iterable[float] = ()
        if draft.taught:
            cosines = vectors[[places[text] for text in draft.passages]] @ vectors[places[draft.query]]
        yield ScoredGroup(
            id=draft.id,
            query=draft.query,
            instruction=draft.instruction,
            passages=draft.passages,
            positive=0 if draft.labelled else None,
            teacher=tuple(round(float(cosine), 4) for cosine in cosines),
            source=draft.source,
            licence=join_licences(draft.licences),
            domain=draft.domain,
        )


def spdx(licence: str) -> str:
    """The SPDX id for a licence name of the data folder; an SPDX id is returned unchanged."""
    return _LICENCES.get(licence, licence)
