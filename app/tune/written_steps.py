"""The steps where a language model writes the queries and grades the passages, and what is asked before it is paid."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from app.tune.documents.choosing import LEAST_DOCUMENTS
from app.tune.groups.filtering import ANSWERS, PASSED_BY
from app.tune.groups.labels import Labelled
from app.tune.queries.made import HEADING, QUESTION, make_queries
from app.tune.queries.written import Side, Writer, as_query
from app.tune.steps import Steps, Told
from app.tune.work import Step
from cli.errors import BadSettings
from synth.estimate import StageEstimate

_FEWEST = 2  # passages of a side


@dataclass(frozen=True)
class WrittenSteps(Steps):
    """As `Steps`, with queries and labels by the corpus method."""

    def in_order(self) -> list[Step]:
        return [*super().in_order(), *([self.reasoning] if self.settings.reasoning else [])]

    @property
    def queries(self) -> Step:
        names = ("llm_model", "llm_queries", "llm_candidates", "llm_max_tokens", "licence")
        settings = {name: getattr(self.settings, name) for name in names} | {
            "own": [asdict(query) for query in self.own]
        }
        settings |= {"bi_encoder": self.bi_encoder_sum}
        return Step("queries", ("queries.jsonl", "passages.jsonl"), ("read", "choose"), settings, self._queries)

    @property
    def label(self) -> Step:
        return Step("label", ("labels.jsonl",), ("queries",), {}, self._label)

    @property
    def reasoning(self) -> Step:
        settings = {"base": str(self.settings.reasoning_base), "seed": self.settings.seed, "gpu": _has_gpu()}
        return Step("reasoning", ("reasoning-plan.txt",), ("queries",), settings, self._reasoning)

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.settings, self.work.file("llm"), self.bi_encoder, self.progress.say)

    @property
    def licence(self) -> str:
        return self.settings.licence

    def sides(self) -> list[Side]:
        return self.writer.sides(self.read_passages(), self.held_out())

    def cost(self) -> float:
        """What the calls have cost until now."""
        return sum(self.writer.spent(side) for side in self.sides())

    def searched(self, everything: set[str], held_out: frozenset[str]) -> Collection[str]:
        """Only the held-out documents, as the others were not graded; all where the user judged."""
        return everything if any(query.relevant for query in self.own) else held_out

    def _queries(self) -> Told:
        passages, held_out = self.read_passages(), self.held_out()
        made, _ = make_queries(passages, held_out, self.settings.groups, 0)
        shown = [query for query in made if query.kind in (HEADING, QUESTION) and not query.held_out]
        sides = self.sides()
        judged = any(query.relevant for query in self.own)
        if judged:
            sides = sides[:1]
        if any(len(side.passages) < _FEWEST for side in sides):
            raise BadSettings(
                f"There are too few passages to write queries for; give {LEAST_DOCUMENTS} documents or more."
            )
        self.writer.prepare(sides, self.own, shown)
        self._agree(self.writer.estimates(sides))
        self.writer.write(sides)
        queries = [
            as_query(scored, held_out=side.name != "training", least=PASSED_BY + 1)
            for side in sides
            for scored in self.writer.scored(side)
        ]
        kept = [query for query in queries if query.relevant or not query.held_out]
        own = [query for query in self.own_queries(passages) if query.held_out]
        self.work.write_rows("passages.jsonl", map(asdict, passages))
        return self.write_queries([*own, *kept])

    def _agree(self, estimates: Sequence[StageEstimate]) -> None:
        """Say what is to be called and what it costs; nothing is asked of a machine without a terminal.

        Raises `BadSettings` where it costs something and nobody said how much it may.
        """
        calls, cost, most = (sum(getattr(each, name) for each in estimates) for name in ("calls", "cost", "most"))
        priced = self.settings.endpoint().priced
        price = f", about {cost:,.2f}, at most {most:,.2f}" if priced else ", free as its price is said to be 0"
        self.progress.say(f"{'':12}{calls:,} calls to {self.settings.llm_model}{price}")
        if not priced or not calls or self.settings.budget is not None:
            return
        if sys.stdin is None or not sys.stdin.isatty():  # None: closed by the caller
            raise BadSettings(
                f"The calls cost about {cost:,.2f} and at most {most:,.2f}; say how much may be spent: --budget."
            )
        sys.stderr.write("Go on, and spend that at most? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise BadSettings("Nothing was spent; --budget says how much may be.")

    def _label(self) -> Told:
        places = {passage.id: place for place, passage in enumerate(self.all_passages())}
        labelled = [
            Labelled(
                query=as_query(scored, held_out=False, least=1).id,
                passages=tuple(places[name] for name in scored.scores),
                scores=tuple(float(grade) for grade in scored.scores.values()),
                answers=tuple(places[name] for name, grade in scored.scores.items() if grade >= ANSWERS),
            )
            for scored in self.writer.scored(self.sides()[0])
        ]
        self.work.write_rows("labels.jsonl", map(asdict, labelled))
        return {"queries": len(labelled), "pairs": sum(len(each.passages) for each in labelled)}

    def _reasoning(self) -> Told:
        from app.tune.reasoning import train_reasoning, write_traced

        records = self.work.file("records.jsonl")
        write_traced(self.sides()[0].run_folder, records)
        folder = self.work.file(f"reasoning-{self.work.key(self.reasoning)[:12]}")
        out, plan = self.settings.out / "reasoning-model", self.work.file("reasoning-plan.txt")
        return train_reasoning(records, self.settings.reasoning_base, folder, out, plan, self.settings.seed)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
