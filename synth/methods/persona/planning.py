"""The plan of each seed query: persona, domain, difficulties, intents and types of negatives, dealt by quota."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.records import Difficulty, Intent, NegativeType
from synth.errors import BadInput, BadSettings
from synth.methods.persona.personas import PersonaPool
from synth.methods.persona.settings import LimrankSettings
from synth.run.plan import Plan, fingerprint, make_plan, texts
from synth.run.quotas import Rounds, deal

IDS = ("id", "_id", "qid")
TEXTS = ("text", "query")


@dataclass(frozen=True, slots=True)
class QueryPlan:
    difficulty: Difficulty
    intent: Intent
    negatives: tuple[NegativeType, ...]


@dataclass(frozen=True, slots=True)
class SeedPlan:
    id: str
    seed: str
    persona: str
    domain: str
    daily_life: QueryPlan
    expert: QueryPlan

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> SeedPlan:
        return cls(**(row | {name: _query_plan(row[name]) for name in ("daily_life", "expert")}))


def plan_seeds(path: Path, settings: LimrankSettings, random_seed: int) -> Plan:
    """The plan of a run in `path`, new or existing; see `synth.run.plan.make_plan` for the cases that it refuses."""
    kinds = [kind for kind, share in settings.negative_types.items() if share > 0]
    if settings.negatives > len(kinds):
        raise BadSettings(f"{settings.negatives} different negatives for a query, and {len(kinds)} types have a share.")
    if settings.seeds is None or settings.personas is None:
        raise BadSettings("--method limrank needs --limrank.seeds and --limrank.personas.")
    options = settings.model_dump(mode="json", exclude={"seeds", "personas", "votes"}) | {"random_seed": random_seed}
    made_from = fingerprint(options, (settings.seeds, settings.personas))
    if path.exists():
        return make_plan(path, made_from, 0, ())
    total = sum(1 for _ in texts(settings.seeds, IDS, TEXTS))
    if total == 0:
        raise BadInput(f"{settings.seeds}: holds no row; give seed queries.")
    chosen = min(settings.sample or total, total)
    rows = _rows(settings, settings.seeds, PersonaPool(settings.personas, settings.domains), total, chosen, random_seed)
    return make_plan(path, made_from, chosen, (asdict(row) for row in rows))


def _rows(
    settings: LimrankSettings, seeds: Path, personas: PersonaPool, total: int, chosen: int, random_seed: int
) -> Iterator[SeedPlan]:
    places = set(random.Random(f"{random_seed}/sample").sample(range(total), chosen))  # noqa: S311 - a draw, no secret
    shares = {name: domain.share for name, domain in settings.domains.items()}
    domains = iter(deal(chosen, shares, f"{random_seed}/domains"))
    difficulties = iter(deal(2 * chosen, settings.difficulties, f"{random_seed}/difficulties"))
    intents = iter(deal(2 * chosen, settings.intents, f"{random_seed}/intents"))
    rounds = Rounds(settings.negative_types)

    def query() -> QueryPlan:
        return QueryPlan(next(difficulties), next(intents), tuple(rounds.draw(settings.negatives)))

    for place, (seed_id, text) in enumerate(texts(seeds, IDS, TEXTS)):
        if place in places:
            domain = next(domains)
            persona = personas.draw(domain, f"{random_seed}/{seed_id}")
            yield SeedPlan(seed_id, text, persona, domain, query(), query())


def _query_plan(row: dict[str, Any]) -> QueryPlan:
    negatives = tuple(NegativeType(kind) for kind in row["negatives"])
    return QueryPlan(Difficulty(row["difficulty"]), Intent(row["intent"]), negatives)
