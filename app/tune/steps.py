"""The steps in their order, and what each does with the files of those before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.tune import model_steps
from app.tune.documents.choosing import chosen_passages, held_out_documents
from app.tune.documents.passages import Passage
from app.tune.documents.reading import Source
from app.tune.given import Given
from app.tune.groups.candidates import FirstStages, Found, open_encoder, read_vectors, write_vectors
from app.tune.groups.filtering import Filter, group_id
from app.tune.groups.labels import Labelled, by_bi_encoder
from app.tune.queries.made import OWN, WORDS, Query, make_queries
from app.tune.queries.own import OwnQuery
from app.tune.results.fusing import LEAST, MOST_RESERVED, RESERVED
from app.tune.work import Step
from cli.errors import BadInput
from cli.output import write_whole
from contract.scored_groups import ScoredGroup, write_scored_groups
from synth.run.draws import draw

LEAST_GROUPS, LEAST_TESTED = 12, 5
Told = Mapping[str, Any]


class Steps(Given):
    """Everything that is done without a language model, and what is the same with one."""

    def in_order(self) -> list[Step]:
        """All steps; later ones may be asked for once earlier ones are done."""
        return [
            self.read,
            self.choose,
            self.queries,
            self.vectors,
            self.candidates,
            self.label,
            self.filter,
            self.train,
            self.evaluate,
            self.finish,
        ]

    @property
    def read(self) -> Step:
        judged = sorted({name for query in self.own for name in query.relevant})
        settings = {"passages": self.settings.passages, "judged": judged, "documents": self.documents_sum}
        return Step("read", ("read.jsonl", "notes.json"), (), settings, self._read)

    @property
    def choose(self) -> Step:
        settings = {"own": [asdict(query) for query in self.own]}
        return Step("choose", ("choice.json",), ("read",), settings, self._choose)

    @property
    def queries(self) -> Step:
        settings = {"groups": self.settings.groups, "test_queries": self.settings.test_queries}
        return Step("queries", ("queries.jsonl", "passages.jsonl"), ("read", "choose"), settings, self._queries)

    @property
    def vectors(self) -> Step:
        return Step("vectors", ("vectors.npy",), ("queries",), {"bi_encoder": self.bi_encoder_sum}, self._vectors)

    @property
    def candidates(self) -> Step:
        needs = ("choose", "queries", "vectors")
        return Step("candidates", ("candidates.jsonl",), needs, {}, self._candidates)

    @property
    def label(self) -> Step:
        return Step("label", ("labels.jsonl",), ("queries", "candidates"), {}, self._label)

    @property
    def filter(self) -> Step:
        settings = {"licence": self.settings.licence}
        files = ("groups.jsonl", "reserved.json")
        return Step("filter", files, ("queries", "candidates", "label", "vectors"), settings, self._filter)

    @property
    def train(self) -> Step:
        settings = {"plan": asdict(self.plan), "base": self.base_sum}
        return Step("train", ("training/model",), ("filter",), settings, self._train)

    @property
    def evaluate(self) -> Step:
        files = ("measured.json", "extremes.json")
        needs = ("candidates", "queries", "filter", "train")
        return Step("evaluate", files, needs, {"base": self.base_sum}, self._evaluate)

    @property
    def finish(self) -> Step:
        return Step("finish", ("../model",), ("train", "evaluate"), {}, self._finish)

    def _read(self) -> Told:
        source = Source(self.settings.documents)
        wanted = {name for query in self.own for name in query.relevant}

        def report(seen: int, kept: int) -> None:
            self.progress.at(0, 0, f"{seen:,} documents")

        passages, documents = chosen_passages(source.documents(), self.settings.passages, wanted, report)
        if not passages:
            said = f" {' '.join(source.shown())}" if source.notes else ""
            raise BadInput(f"{self.settings.documents} holds no text of twelve words or more.{said}")
        self.work.write_rows("read.jsonl", map(asdict, passages))
        self.work.write_json("notes.json", {"notes": source.shown()})
        return {"documents": documents, "passages": len(passages), "files": source.files, "left_out": source.left_out}

    def _choose(self) -> Told:
        passages = self.read_passages()
        held_out = held_out_documents(passages, {name for query in self.own for name in query.relevant})
        self.work.write_json("choice.json", {"held_out": held_out})
        return {"held_out": len(held_out), "documents": len({passage.document for passage in passages})}

    def _queries(self) -> Told:
        read = self.read_passages()
        made, passages = make_queries(read, self.held_out(), self.settings.groups, self.settings.test_queries)
        own = self.own_queries(read)
        judged = any(query.held_out for query in own)
        queries = [*own, *(query for query in made if not (judged and query.held_out))]
        self.work.write_rows("passages.jsonl", map(asdict, passages))
        return self.write_queries(queries)

    def own_queries(self, passages: Sequence[Passage]) -> list[Query]:
        """The user's queries; those that are judged are measured on, the others learned from."""
        known = {passage.document for passage in passages}
        return [_own(query, known) for query in self.own if not query.relevant or known & query.relevant.keys()]

    def write_queries(self, queries: list[Query]) -> Told:
        """Raises `BadInput` where there are too few of either side."""
        counts = {side: Counter(query.kind for query in queries if query.held_out is side) for side in (False, True)}
        trained, tested = counts[False].total(), counts[True].total()
        judged = any(query.kind == OWN and query.held_out for query in queries)
        if trained < LEAST_GROUPS or (tested < LEAST_TESTED and not judged):
            raise BadInput(
                f"The documents gave {trained} queries to train on and {tested} to measure on, and {LEAST_GROUPS} and "
                f"{LEAST_TESTED} are the least; give more documents, or queries of your own (--queries)."
            )
        self.work.write_rows("queries.jsonl", map(asdict, queries))
        return {"trained": dict(counts[False]), "tested": dict(counts[True])}

    def _vectors(self) -> Told:
        texts = [passage.text for passage in self.all_passages()]
        portions = self.work.only(f"vectors-{self.short_key(self.vectors)}", "vectors-*")
        encoder = open_encoder(self.bi_encoder)
        shape = write_vectors(self.work.file("vectors.npy"), texts, encoder, portions, self.progress.at)
        return {"passages": shape[0], "dimensions": shape[1]}

    def _candidates(self) -> Told:
        passages, held_out = self.all_passages(), self.held_out()
        stages = FirstStages(passages, read_vectors(self.work.file("vectors.npy")), open_encoder(self.bi_encoder))
        queries = self.all_queries()
        everything = {passage.document for passage in passages}
        to_train = [query for query in queries if not query.held_out]
        to_test = [query for query in queries if query.held_out]
        found = stages.find(to_train, everything - held_out, self.progress.at)
        found += stages.find(to_test, self.searched(everything, held_out), self.progress.at)
        self.work.write_rows("candidates.jsonl", (each.to_row() for each in found))
        return {"queries": len(found)}

    def searched(self, everything: set[str], held_out: frozenset[str]) -> Collection[str]:
        """The documents that held-out queries are answered from."""
        return everything

    def _label(self) -> Told:
        queries = {query.id: query for query in self.all_queries()}
        found = (Found.from_row(row) for row in self.work.rows("candidates.jsonl"))
        labelled = [by_bi_encoder(queries[each.query], each) for each in found if not queries[each.query].held_out]
        self.work.write_rows("labels.jsonl", map(asdict, labelled))
        return {"queries": len(labelled), "pairs": sum(len(each.passages) for each in labelled)}

    def _filter(self) -> Told:
        refused: Counter[str] = Counter()
        made = Filter(self.all_passages(), read_vectors(self.work.file("vectors.npy")), self.licence, refused)
        queries = {query.id: query for query in self.all_queries()}
        found = {row["query"]: Found.from_row(row) for row in self.work.rows("candidates.jsonl")}
        groups: list[ScoredGroup] = []
        for labelled in (Labelled.from_row(row) for row in self.work.rows("labels.jsonl")):
            query = queries[labelled.query]
            groups += (
                made.from_cosines(query, labelled, found[query.id])
                if self.settings.llm is None
                else made.from_grades(query, labelled)
            )
        reserved = self._reserved(groups)
        groups = [group for group in groups if group.id not in reserved]
        labelled_groups = sum(group.positive is not None for group in groups)
        if labelled_groups < LEAST_GROUPS:
            raise BadInput(
                f"Only {labelled_groups} queries have an answer and passages that do not answer, and {LEAST_GROUPS} "
                "are the least to train on; give more documents or queries."
            )
        write_whole(self.work.file("groups.jsonl"), write_scored_groups, groups)
        self.work.write_json("reserved.json", {"queries": list(reserved.values())})
        told = {"groups": len(groups), "labelled": labelled_groups, "refused": dict(refused)}
        return told | ({"reserved": len(reserved)} if reserved else {})

    def _reserved(self, groups: Sequence[ScoredGroup]) -> dict[str, str]:
        """Group -> query of those that nothing is learned from but the weight of the first stages' scores. None where
        there are too few to spare."""
        kinds = {group_id(query): query for query in self.all_queries() if query.kind != WORDS}
        labelled = [group.id for group in groups if group.positive is not None]
        count = min(MOST_RESERVED, len(labelled) // RESERVED)
        natural = sorted((name for name in labelled if name in kinds), key=lambda name: draw(name, "reserved"))[:count]
        return {name: kinds[name].id for name in natural} if len(natural) >= LEAST else {}

    def _train(self) -> Told:
        return model_steps.train(self, self.short_key(self.train))

    def _evaluate(self) -> Told:
        return model_steps.evaluate(self, self.short_key(self.evaluate))

    def _finish(self) -> Told:
        told = model_steps.finish(self)
        for pattern in ("vectors-*", "evaluation-*"):  # of steps that have their manifests
            self.work.only("", pattern)
        return told

    def short_key(self, step: Step) -> str:
        """The beginning of the step's key, for the names of what a stopped one leaves."""
        return self.work.key(step)[:12]


def _own(query: OwnQuery, known: set[str]) -> Query:
    relevant = {name: grade for name, grade in query.relevant.items() if name in known}
    return Query(query.id, query.text, OWN, relevant, bool(relevant), by_document=True)
