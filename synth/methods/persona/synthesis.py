"""Takes one seed query through the stages to records. The same replies make the same records in the same order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contract.records import Difficulty, NegativeType, Record, Votes
from synth.llm.stage import Asker
from synth.methods.persona.judge import PairRow, Verdict, judge_stage
from synth.methods.persona.negatives import NegativeRow, negative_stage
from synth.methods.persona.passages import QueryRow, positive_stage
from synth.methods.persona.planning import QueryPlan, SeedPlan
from synth.methods.persona.queries import Query, SeedRow, queries_stage
from synth.run.origin import Origin


class LimrankSynthesis:
    """The four stages that make calls, with their templates. Raises `BadSettings` for an unsuitable one."""

    def __init__(self, origin: Origin, votes: int, templates: Path | None = None) -> None:
        self._origin = origin
        self._votes = votes
        self.queries = queries_stage(templates)
        self.positive = positive_stage(templates)
        self.negative = negative_stage(templates)
        self.judge = judge_stage(templates)

    async def records(self, plan: SeedPlan, asker: Asker) -> list[Record]:
        """The judged pairs of one seed query, query by query, the positive first; pairs without votes are left out."""
        row = SeedRow(plan.seed, plan.persona, plan.domain, plan.daily_life.difficulty, plan.expert.difficulty)
        pair = await asker.ask(self.queries, row, f"{plan.id}")
        if pair is None:
            return []
        both = await asyncio.gather(
            self._query(f"{plan.id}/daily_life", plan.domain, plan.daily_life, pair.daily_life, asker),
            self._query(f"{plan.id}/expert", plan.domain, plan.expert, pair.expert, asker),
        )
        return [record for records in both for record in records]

    async def _query(self, place: str, domain: str, plan: QueryPlan, query: Query, asker: Asker) -> list[Record]:
        row = QueryRow(query.query, query.relevance, domain, plan.difficulty, plan.intent)
        positive = await asker.ask(self.positive, row, f"{place}/positive")
        if positive is None:
            return []
        records = await asyncio.gather(
            self._pair(f"{place}/positive", row, positive.passage, None, asker),
            *(self._hard_negative(f"{place}/{kind}", row, positive.passage, kind, asker) for kind in plan.negatives),
        )
        return [record for record in records if record is not None]

    async def _hard_negative(
        self, place: str, row: QueryRow, positive: str, kind: NegativeType, asker: Asker
    ) -> Record | None:
        negative = await asker.ask(
            self.negative, NegativeRow(row.query, row.relevance, row.domain, positive, kind), place
        )
        return None if negative is None else await self._pair(place, row, negative.passage, kind, asker)

    async def _judge(self, pair: PairRow, place: str, vote: int, asker: Asker) -> Verdict | None:
        verdict = await asker.ask(self.judge, pair, place, vote)
        return verdict  # noqa: RET504 - returned at once, the Optional here would be taken for the stage's value

    async def _pair(
        self, place: str, row: QueryRow, passage: str, kind: NegativeType | None, asker: Asker
    ) -> Record | None:
        instruction = row.relevance if row.difficulty is Difficulty.INSTRUCTION else None
        pair = PairRow(row.query, instruction, row.intent, passage)
        votes = range(1, self._votes + 1)
        replies = await asyncio.gather(*(self._judge(pair, f"{place}/vote-{vote}", vote, asker) for vote in votes))
        verdicts = [verdict for verdict in replies if verdict is not None]
        if not verdicts:
            return None
        return Record(
            id=place,
            query=row.query,
            passage=passage,
            instruction=instruction,
            relevant=kind is None,
            trace=_trace(verdicts, kind is None),
            source=self._origin.source,
            licence=self._origin.licence,
            domain=row.domain,
            difficulty=row.difficulty,
            negative_type=kind,
            intent=row.intent,
            votes=_votes(verdicts),
        )


def _trace(verdicts: list[Verdict], relevant: bool) -> str:
    """The trace of the first vote that agrees with the label; if none does, that of the first vote (the pair is dropped
    later)."""
    return next((verdict.trace for verdict in verdicts if verdict.relevant is relevant), verdicts[0].trace)


def _votes(verdicts: list[Verdict]) -> Votes:
    true = sum(verdict.relevant for verdict in verdicts)
    return Votes(true=true, false=len(verdicts) - true)
