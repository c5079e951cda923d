"""The corpus-grounded method in one run folder: queries for every document, then candidates, then scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from contract.reading import reading_key
from contract.records import Record, join_licences
from synth.errors import BadInput
from synth.llm.stage import Asker, Forecast
from synth.methods.corpus.candidates import SyntheticQuery, mine_candidates, read_candidates
from synth.methods.corpus.documents import DocumentStore
from synth.methods.corpus.groups import CorpusLabels
from synth.methods.corpus.judge import PairRow, judge_stage
from synth.methods.corpus.planning import DocumentPlan, plan_documents
from synth.methods.corpus.queries import DocumentRow, queries_stage
from synth.run.calls import CachedAsker
from synth.run.method import Phase
from synth.run.origin import Origin
from synth.run.plan import Plan
from synth.scratch import SeenKeys, digest, scratch
from synth.settings import RunOptions

USUAL_QUERY = "query " * 12


@dataclass(frozen=True, slots=True)
class ScoredQuery:
    """A query, the id of the document it was written for, and by their ids the score (0 to 10) of each candidate and
    the text that was scored."""

    id: str
    text: str
    document: str
    scores: Mapping[str, int]
    texts: Mapping[str, str] = field(default_factory=dict)


class CorpusRun:
    """See `synth.run.method.Synthesis`."""

    def __init__(self, folder: Path, settings: RunOptions, templates: Path | None) -> None:
        self._folder = folder
        self._settings = settings
        self._queries = queries_stage(templates)
        self._judge = judge_stage(templates)
        section = settings.corpus
        licences = (section.documents_licence, section.examples_licence, settings.output_licence)
        name = section.documents.name if section.documents else ""
        self._origin = Origin(
            source=f"corpus groups, documents {name}, {settings.generator.model}", licence=join_licences(licences)
        )

    def plan(self) -> Plan:
        return plan_documents(self._folder, self._settings.corpus, self._settings.random_seed)

    def forecasts(self) -> list[Forecast]:
        section, plan = self._settings.corpus, Plan(self._folder / "plan.jsonl")
        unit = DocumentPlan.from_row(next(iter(plan)))
        pairs = plan.rows * section.queries * self._most_candidates
        passage = self._store.passage(unit.number, section.document_characters)
        return [
            self._queries.forecast(plan.rows, self._row(unit)),
            self._judge.forecast(pairs, PairRow(USUAL_QUERY, passage)),
        ]

    def templates(self) -> dict[str, str]:
        return {stage.name: stage.template.sha256 for stage in (self._queries, self._judge)}

    def phases(self, journalled: CachedAsker) -> Iterator[Phase]:
        plan = Plan(self._folder / "plan.jsonl")
        yield Phase("documents", plan.rows, plan.rows, map(DocumentPlan.from_row, plan), self._write_queries)
        mine_candidates(self._candidates, self._written(plan, journalled), self._store, self._settings.corpus)
        yield self.last()

    def last(self) -> Phase:
        self._check_mined()
        total, found = read_candidates(self._candidates)
        return Phase("synthetic queries", total, total * self._most_candidates, found, self._labels.records)

    def scored(self, journalled: CachedAsker) -> Iterator[ScoredQuery]:
        """The queries with the scores of their candidates, from the folder; those without a usable score are left out.
        Raises `BadInput` where the run has no candidates yet."""
        self._check_mined()
        for found in read_candidates(self._candidates)[1]:
            scores, texts = dict[str, int](), dict[str, str]()
            for candidate in found.candidates:
                pair = self._labels.pair(found, candidate)
                if (answer := journalled.known(self._judge, pair)) is not None:
                    name = self._store.id(candidate.number)
                    scores[name], texts[name] = answer.score, pair.passage
            if scores:
                query = found.query
                yield ScoredQuery(query.id, query.text, self._store.id(query.document), scores, texts)

    async def _write_queries(self, unit: DocumentPlan, asker: Asker) -> list[Record]:
        await asker.ask(self._queries, self._row(unit), self._store.id(unit.number))
        return []

    def _written(self, plan: Plan, journalled: CachedAsker) -> Iterator[SyntheticQuery]:
        """The queries that were written, in plan order, without duplicates."""
        with scratch() as database:
            seen = SeenKeys(database)
            for unit in map(DocumentPlan.from_row, plan):
                written = journalled.known(self._queries, self._row(unit))
                for place, text in enumerate(written.queries[: self._settings.corpus.queries] if written else ()):
                    if seen.first_row(digest(reading_key(text)), unit.number) is None:
                        name = f"{self._store.id(unit.number)}/query-{place + 1}"
                        yield SyntheticQuery(name, text, unit.difficulty, unit.number)

    def _row(self, unit: DocumentPlan) -> DocumentRow:
        section = self._settings.corpus
        document = self._store.passage(unit.number, section.document_characters)
        return DocumentRow(document, unit.examples, unit.difficulty, section.queries)

    def _check_mined(self) -> None:
        if not self._candidates.exists():
            raise BadInput(f"{self._folder} has no candidates yet: its run has not reached them; resume it first.")

    @property
    def _most_candidates(self) -> int:
        """The most candidates of one query: those of each retriever, and its own document."""
        section = self._settings.corpus
        return section.candidates * (2 if section.bi_encoder else 1) + 1

    @cached_property
    def _store(self) -> DocumentStore:
        return DocumentStore(self._folder / "documents.sqlite")

    @cached_property
    def _labels(self) -> CorpusLabels:
        return CorpusLabels(self._origin, self._settings.corpus, self._store, self._judge)

    @property
    def _candidates(self) -> Path:
        return self._folder / "candidates.jsonl"
