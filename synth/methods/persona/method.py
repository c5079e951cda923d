"""LimRank-Synthesizer in one run folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contract.records import Difficulty, Intent, NegativeType, join_licences
from synth.llm.stage import Forecast
from synth.methods.persona.judge import PairRow
from synth.methods.persona.negatives import NegativeRow
from synth.methods.persona.passages import QueryRow
from synth.methods.persona.planning import SeedPlan, plan_seeds
from synth.methods.persona.queries import SeedRow
from synth.methods.persona.synthesis import LimrankSynthesis
from synth.run.calls import CachedAsker
from synth.run.method import Phase
from synth.run.origin import Origin
from synth.run.plan import Plan
from synth.settings import RunOptions

USUAL_QUERY = "query " * 25
USUAL_PASSAGE = "passage " * 130


class LimrankRun:
    """See `synth.run.method.Synthesis`."""

    def __init__(self, folder: Path, settings: RunOptions, templates: Path | None) -> None:
        self._path = folder / "plan.jsonl"
        self._settings = settings
        section = settings.limrank
        licences = (section.seeds_licence, section.personas_licence, settings.output_licence)
        seeds = section.seeds.name if section.seeds else ""
        source = f"limrank-synthesizer, seeds {seeds}, {settings.generator.model}"
        origin = Origin(source=source, licence=join_licences(licences))
        self._synthesis = LimrankSynthesis(origin, section.votes, templates)

    def plan(self) -> Plan:
        return plan_seeds(self._path, self._settings.limrank, self._settings.random_seed)

    def forecasts(self) -> list[Forecast]:
        plan = Plan(self._path)
        seed = SeedPlan.from_row(next(iter(plan)))
        queries, negatives = 2 * plan.rows, self._settings.limrank.negatives
        stages = self._synthesis
        row = QueryRow(USUAL_QUERY, USUAL_QUERY, seed.domain, Difficulty.DIRECT, Intent.DIRECT)
        return [
            stages.queries.forecast(
                plan.rows, SeedRow(seed.seed, seed.persona, seed.domain, Difficulty.DIRECT, Difficulty.DIRECT)
            ),
            stages.positive.forecast(queries, row),
            stages.negative.forecast(
                queries * negatives,
                NegativeRow(USUAL_QUERY, USUAL_QUERY, seed.domain, USUAL_PASSAGE, NegativeType.PARTIAL),
            ),
            stages.judge.forecast(
                queries * (1 + negatives) * self._settings.limrank.votes,
                PairRow(USUAL_QUERY, None, Intent.DIRECT, USUAL_PASSAGE),
            ),
        ]

    def templates(self) -> dict[str, str]:
        stages = self._synthesis
        return {
            stage.name: stage.template.sha256
            for stage in (stages.queries, stages.positive, stages.negative, stages.judge)
        }

    def phases(self, journalled: CachedAsker) -> Iterator[Phase]:
        yield self.last()

    def last(self) -> Phase:
        plan = Plan(self._path)
        section = self._settings.limrank
        each = 1 + 2 * (1 + section.negatives + (1 + section.negatives) * section.votes)
        return Phase("seed queries", plan.rows, each * plan.rows, map(SeedPlan.from_row, plan), self._synthesis.records)
