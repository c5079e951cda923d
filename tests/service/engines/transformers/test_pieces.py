"""A trace that is written in pieces, as adaptive mode does, is the trace that is written in one."""

from __future__ import annotations

from typing import Any

import pytest

from contract.adaptive.parameters import Gate
from contract.reasoning import Status
from service.engines.transformers.engine import EngineOptions, TransformersEngine
from service.engines.transformers.model import load_model
from service.models.checkpoint import Checkpoint
from service.ranking import Mode
from tests.contract.adaptive.scripted import parameters
from tests.service.engines.plain_forward import segments_of
from tests.service.reranking import Service

PASSAGES = ["Glaciers flow under their own weight.", "Trains run on rails.", "Ice is frozen water."]
TOLERANCE = 1e-3


async def test_pieces_join_to_one_trace_and_a_budget_bounds_them(small_checkpoint: Checkpoint) -> None:
    segments = segments_of(small_checkpoint.folder)
    engine = TransformersEngine(load_model(small_checkpoint.folder, "float32"), segments, EngineOptions(threads=2))
    gate = Gate(parameters(early_stop=True, tolerance=0.0))
    service = Service(engine, gate=gate, mode=Mode.ADAPTIVE, most_reasoning_tokens=64)
    asked: dict[str, Any] = {"mode": Mode.REASONING, "max_reasoning_tokens": 20, "return_reasoning": True}
    whole = {r.index: r for r in (await service.rank(PASSAGES, **asked)).results}
    pieces = {r.index: r for r in (await service.rank(PASSAGES, **asked, return_probes=8)).results}
    direct = await service.rank(PASSAGES, mode=Mode.DIRECT)
    nothing = await service.rank(PASSAGES, reasoning_budget=0)
    some = await service.rank(PASSAGES, reasoning_budget=50, max_reasoning_tokens=20)
    await engine.close()
    assert [pieces[i].reasoning for i in range(3)] == [whole[i].reasoning for i in range(3)]
    assert [pieces[i].status for i in range(3)] == [whole[i].status for i in range(3)]
    for result in direct.results:
        probes = pieces[result.index].probes
        assert probes is not None
        assert probes[0].log_odds == pytest.approx(result.log_odds, abs=TOLERANCE)
        assert probes[-1].log_odds == pytest.approx(whole[result.index].log_odds, abs=TOLERANCE)
    assert [(r.index, r.log_odds) for r in nothing.results] == [(r.index, r.log_odds) for r in direct.results]
    assert some.adaptive is not None
    assert 0 < some.reasoning_tokens <= 50
    assert some.adaptive.reasoned == sum(result.status is not Status.DIRECT for result in some.results) > 0
