"""Builds the whole file: labelled, derived, injected and MedQuAD's groups and unlabelled lists, scored, with a manifest
beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from contract.scored_groups import ScoredGroup, write_scored_groups
from recipes.limrank_mini.general.derived import Derived, claim, documents, long_query, usable_pieces
from recipes.limrank_mini.general.derived_groups import derived_groups
from recipes.limrank_mini.general.drafts import Draft, scored, spdx
from recipes.limrank_mini.general.injected import injected_groups
from recipes.limrank_mini.general.labelled import Found, labelled_group
from recipes.limrank_mini.general.lists import list_queries, teacher_lists
from recipes.limrank_mini.general.medquad import medquad_groups, medquad_pieces
from recipes.limrank_mini.general.negatives import Judge, nearest
from recipes.limrank_mini.general.sources import GeneralData, Passage, read_general
from recipes.limrank_mini.general.vectors import Encoder
from retrieval.id_files import read_ids
from synth.run.draws import draw

NEAR_DEPTH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """The maximum number of groups of each kind."""

    labelled: int = 16_000
    long_queries: int = 2_500
    claims: int = 1_500
    lists: int = 7_000
    injected: int = 0
    medquad_groups: int = 7_000
    medquad_pieces: int = 3_000


def build(
    data: Path,
    out: Path,
    *,
    encoder: Encoder,
    medquad: Path | None,
    amounts: Amounts,
    general_folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:
    """Writes `out` and, beside it, `<out>.manifest.json`. Returns the manifest.

    `data` holds `medquad/` and `general/`, unless `general_folder` is that. `medquad` is the file of groups written by
    `recipes.limrank_mini import`; None builds without MedQuAD. The same inputs give the same groups; cosines differ in
    the fourth decimal between machines.
    """
    general = read_general(general_folder or data / "general")
    say(f"{len(general.questions)} queries, {len(general.passages)} passages, {len(general.barred)} of them barred")
    refused: Counter[str] = Counter()
    pieces = list(usable_pieces(general))
    drafts = [*_labelled(general, encoder, amounts.labelled, refused)]
    say(f"{len(drafts)} labelled groups; candidates refused: {dict(refused)}")
    injected = list(injected_groups(drafts, amounts.injected))
    made = _derived(general, pieces, amounts)
    drafts += derived_groups(made, pieces, encoder, refused)
    say(f"{len(drafts)} groups with those of {len(made)} derived queries")
    asked = [(question.id, question.text) for question in general.questions]
    if medquad is not None:
        groups = list(medquad_groups(medquad, amounts.medquad_groups))
        drafts += groups
        asked += [(group.id, group.query) for group in groups[::3]]
        excluded = read_ids(data / "medquad" / "exclude_from_training.txt")
        pieces += medquad_pieces(data / "medquad", excluded, amounts.medquad_pieces)
    drafts += teacher_lists(list_queries(pieces, asked, amounts.lists), pieces, encoder)
    drafts = [draft for draft in drafts + injected if encoder.reads_whole(draft.query)]
    say(f"{len(drafts)} groups in all whose query the teacher reads whole; scoring")
    drafts.sort(key=lambda draft: draw(draft.id, "order"))
    manifest = _Manifest({piece.source: spdx(piece.licence) for piece in pieces})
    write_scored_groups(out, manifest.counted(scored(drafts, encoder, lambda done, of: say(f"encoded {done} of {of}"))))
    content = manifest.content(refused, amounts)
    path = out.with_name(f"{out.name}.manifest.json")
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return content


def _labelled(data: GeneralData, encoder: Encoder, count: int, refused: Counter[str]) -> Iterator[Draft]:
    vectors = encoder([passage.text for passage in data.passages])
    asked = encoder([question.text for question in data.questions])
    judge = Judge(data, vectors, refused)
    order = sorted(range(len(asked)), key=lambda place: draw(data.questions[place].id, "labelled"))
    made = 0
    for start in range(0, len(order), 1024):
        block = order[start : start + 1024]
        for place, near in zip(block, nearest(asked[block], vectors, NEAR_DEPTH), strict=True):
            question = data.questions[place]
            found = Found(data.candidates.get(question.id, ()), near, asked[place])
            group = labelled_group(question, found, data, judge)
            if group is not None and made < count:
                made += 1
                yield group


def _derived(data: GeneralData, pieces: list[Passage], amounts: Amounts) -> list[Derived]:
    split = [derived for document in documents(pieces) if (derived := long_query(document)) is not None]
    stated = [derived for question in data.questions if (derived := claim(question, data)) is not None]
    for made in (split, stated):
        made.sort(key=lambda item: draw(item.id, "derived"))
    return split[: amounts.long_queries] + stated[: amounts.claims]


class _Manifest:
    """Counts groups as they are written. `by_source` maps every possible source of a text to its licence."""

    def __init__(self, by_source: dict[str, str]) -> None:
        self._by_source = by_source
        self._kinds: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._licences: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()

    def counted(self, groups: Iterator[ScoredGroup]) -> Iterator[ScoredGroup]:
        for group in groups:
            self._kinds[group.id.split("/", 1)[0]] += 1
            self._sources[group.source] += 1
            self._licences.update(group.licence.split(" AND "))
            self._sizes[len(group.passages)] += 1
            yield group

    def content(self, refused: Counter[str], amounts: Amounts) -> dict[str, object]:
        return {
            "groups": sum(self._kinds.values()),
            "passages": sum(size * count for size, count in self._sizes.items()),
            "kinds": dict(self._kinds.most_common()),
            "sizes": {str(size): count for size, count in sorted(self._sizes.items())},
            "licences": dict(self._licences.most_common()),  # counted by group; a group may name several
            "sources": dict(self._sources.most_common()),  # counted by query; lists draw theirs from all sources
            "licences by source": dict(sorted(self._by_source.items())),
            "refused candidates": dict(refused.most_common()),
            "amounts": asdict(amounts),
        }
