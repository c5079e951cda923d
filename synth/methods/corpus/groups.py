"""Turns scores into labels by two thresholds, and the labelled pairs of one query into LCE groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import groupby

from contract.reading import reading_key
from contract.records import Group, Intent, Record, join_licences
from synth.llm.stage import Asker, Stage
from synth.methods.corpus.candidates import Candidate, Candidates
from synth.methods.corpus.documents import DocumentStore
from synth.methods.corpus.judge import PairRow, Score
from synth.methods.corpus.settings import CorpusSettings
from synth.run.origin import Origin


class CorpusLabels:
    """Asks the classifier for every candidate of a query."""

    def __init__(
        self, origin: Origin, settings: CorpusSettings, store: DocumentStore, judge: Stage[PairRow, Score]
    ) -> None:
        self._origin = origin
        self._settings = settings
        self._store = store
        self._judge = judge

    async def records(self, found: Candidates, asker: Asker) -> list[Record]:
        """The pairs of one query that the thresholds label, positives first, each in the order of the candidates."""
        records = await asyncio.gather(*(self._record(found, candidate, asker) for candidate in found.candidates))
        labelled = [record for record in records if record is not None]
        return sorted(labelled, key=lambda record: not record.relevant)

    def pair(self, found: Candidates, candidate: Candidate) -> PairRow:
        """What the classifier sees of a query and one of its candidates."""
        return PairRow(found.query.text, self._store.passage(candidate.number, self._settings.document_characters))

    async def _record(self, found: Candidates, candidate: Candidate, asker: Asker) -> Record | None:
        pair = self.pair(found, candidate)
        place = f"{found.query.id}/{self._store.id(candidate.number)}"
        score = await asker.ask(self._judge, pair, place)
        if score is None or self._settings.negative_to < score.score < self._settings.positive_from:
            return None
        relevant = score.score >= self._settings.positive_from
        return Record(
            id=place,
            query=found.query.text,
            passage=pair.passage,
            relevant=relevant,
            trace=score.reasoning,
            source=self._origin.source,
            licence=self._origin.licence,
            domain=self._settings.domain,
            difficulty=found.query.difficulty,
            negative_type=None if relevant else candidate.by,
            intent=Intent.DIRECT,
        )


def groups(records: Iterable[Record], negatives: int) -> Iterator[Group]:
    """LCE groups: for each positive of a query, the positive and the query's first `negatives` negatives (or fewer).

    Records of one query (and instruction) must be adjacent, as `examples` and the imports give them. A query without a
    positive or without a negative makes no group. A record that reads the same as a positive is not a negative.
    """
    for _, together in groupby(records, key=lambda record: (reading_key(record.query), record.instruction)):
        listed = list(together)
        answers = {reading_key(record.passage) for record in listed if record.relevant}
        irrelevant = (record for record in listed if not record.relevant)
        against = [record for record in irrelevant if reading_key(record.passage) not in answers][:negatives]
        for positive in (record for record in listed if record.relevant):
            if against:
                yield _group(positive, against)


def _group(positive: Record, negatives: list[Record]) -> Group:
    return Group(
        id=positive.id,
        query=positive.query,
        instruction=positive.instruction,
        positive=positive.passage,
        negatives=tuple(record.passage for record in negatives),
        source=positive.source,
        licence=join_licences(record.licence for record in (positive, *negatives)),
        domain=positive.domain,
    )
