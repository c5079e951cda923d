"""Replays, the ablation and the gate, on made-up traces."""

from __future__ import annotations

import dataclasses

import pytest

from contract.adaptive.parameters import Policy
from contract.adaptive.race import Limits
from evaluation.adaptive.ablation import TRACES, ablation
from evaluation.adaptive.fitting import fit
from evaluation.adaptive.gate import decide
from evaluation.adaptive.replay import Variant, baselines, fused, raced, replay
from evaluation.errors import BadData
from tests.evaluation.adaptive.simulated import DISTANCE, simulated

QUERIES = simulated(40, of_direct=2.0, of_reasoned=0.7)
PARAMETERS = fit(QUERIES, DISTANCE, 64)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("early", [False, True])
def test_a_replay_within_nothing_is_direct_and_never_above_its_budget(policy: Policy, early: bool) -> None:
    direct, _, _ = baselines(QUERIES, PARAMETERS)
    nothing = replay(QUERIES, PARAMETERS, Variant("x", policy, early, 0))
    assert (nothing.values, sum(nothing.tokens.values())) == (direct.values, 0)
    some = replay(QUERIES, PARAMETERS, Variant("x", policy, early, 150))
    assert 0 < max(some.tokens.values()) <= 150


def test_a_replay_without_limit_or_tolerance_is_all_reasoned_and_fused() -> None:
    every = dataclasses.replace(PARAMETERS, tolerance=0.0)
    for query in QUERIES:
        race = raced(query, every, Limits(10, cap=64))
        assert [final.log_odds for final in race.results] == pytest.approx(fused(query, PARAMETERS))
    _, _, whole = baselines(QUERIES, PARAMETERS)
    assert replay(QUERIES, every, Variant("x", Policy.TOP)).values == whole.values


def test_early_stops_save_tokens() -> None:
    every = dataclasses.replace(PARAMETERS, tolerance=0.0)
    whole = replay(QUERIES, every, Variant("x", Policy.TOP))
    early = replay(QUERIES, every, Variant("x", Policy.TOP, early_stop=True))
    assert sum(early.tokens.values()) < sum(whole.tokens.values())


def test_the_ablation_has_every_policy_under_every_budget() -> None:
    rows = ablation(QUERIES, PARAMETERS)
    assert len(rows) == 4 + len(TRACES) * len(Policy) * 2
    assert {row.policy for row in rows if row.budget is not None} == {policy.value for policy in Policy}
    assert rows[0].policy == "direct"
    assert (rows[0].tokens, rows[0].against_direct.mean, rows[2].share) == (0, 0, 1)
    assert all(row.tokens <= row.budget for row in rows if row.budget is not None)
    assert rows[2].value.mean > rows[0].value.mean


def test_the_gate_opens_where_reasoning_pays() -> None:
    decision = decide(QUERIES, DISTANCE, 64)
    assert decision.gate.parameters is not None
    assert decision.fused.difference.low > 0
    assert decision.gate.parameters.policy is decision.variant.policy
    assert "reasoning on all, fused, +0." in decision.gate.reason


def test_the_gate_stays_closed_where_reasoning_adds_noise() -> None:
    decision = decide(simulated(40, of_direct=1.0, of_reasoned=6.0), DISTANCE, 64)
    assert decision.gate.parameters is None
    assert decision.fused.difference.low <= 0
    assert "nDCG@10 against direct on 40 queries" in decision.gate.reason
    written = decision.gate.to_json("f")
    assert (written["on"], written["reason"]) == (False, decision.gate.reason)


def test_policies_that_tie_are_not_preferred_to_a_simpler_one() -> None:
    """All documents fit into the budget, so every policy without early stops gives the same order."""
    decision = decide(simulated(30, of_direct=2.0, of_reasoned=0.7, documents=4), DISTANCE, 64)
    assert (decision.variant.policy, decision.variant.early_stop) == (Policy.TOP, False)


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(BadData, match="Only 3 queries"):
        decide(QUERIES[:3], DISTANCE, 64)
