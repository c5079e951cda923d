"""Plans: exact quotas, the same draw for the same seed, and every bad input row named before any call."""

from __future__ import annotations

from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import NegativeType
from synth.errors import BadInput, BadSettings, CommandError
from synth.methods.persona.planning import SeedPlan, plan_seeds
from synth.pipeline import run
from synth.run.quotas import Rounds, counts, deal
from synth.settings import RunSettings
from tests.synth.endpoint import ScriptedEndpoint
from tests.synth.runs import corpus_knobs, limrank_knobs, limrank_settings, write_lines

SHARES = st.dictionaries(st.sampled_from("abcdefg"), st.floats(0.01, 10), min_size=1)
URL = "http://127.0.0.1:9/v1"


@given(st.integers(0, 500), SHARES)
def test_counts_are_exact(total: int, shares: dict[str, float]) -> None:
    made = counts(total, shares)
    assert sum(made.values()) == total
    for name, share in shares.items():
        assert abs(made[name] - total * share / sum(shares.values())) < 1


@given(st.integers(0, 100), SHARES, st.text(max_size=5))
def test_a_deal_is_those_counts_in_an_order_the_seed_decides(total: int, shares: dict[str, float], seed: str) -> None:
    dealt = deal(total, shares, seed)
    assert {name: count for name, count in counts(total, shares).items() if count} == Counter(dealt)
    assert deal(total, shares, seed) == dealt


def test_another_seed_deals_another_order() -> None:
    assert deal(100, {"a": 1, "b": 1}, "0") != deal(100, {"a": 1, "b": 1}, "1")


@given(st.integers(1, 3), st.integers(1, 200))
def test_rounds_draw_different_names_and_keep_to_the_shares(count: int, rounds: int) -> None:
    drawing = Rounds(dict.fromkeys(NegativeType, 1.0))
    drawn = [drawing.draw(count) for _ in range(rounds)]
    assert all(len(set(names)) == count for names in drawn)
    total = Counter(name for names in drawn for name in names)
    assert all(abs(total[kind] - rounds * count / len(NegativeType)) <= 1 for kind in NegativeType)


def test_rounds_follow_unequal_shares() -> None:
    drawing = Rounds({"often": 3.0, "seldom": 1.0, "never": 0.0})
    total = Counter(name for _ in range(400) for name in drawing.draw(1))
    assert total == {"often": 300, "seldom": 100}


def test_the_same_seed_makes_the_same_plan_and_another_another(tmp_path: Path) -> None:
    settings = limrank_settings(tmp_path, URL, seeds=50).limrank

    def plan(name: str, random_seed: int) -> list[SeedPlan]:
        return [SeedPlan.from_row(row) for row in plan_seeds(tmp_path / name, settings, random_seed)]

    assert plan("one", 1) == plan("again", 1)
    assert plan("other", 2) != plan("one", 1)


def test_a_sample_takes_so_many_seeds_in_their_order(tmp_path: Path) -> None:
    knobs = limrank_knobs(tmp_path, URL, seeds=50)
    knobs["limrank"]["sample"] = 7
    plan = plan_seeds(tmp_path / "plan.jsonl", RunSettings(**knobs).limrank, 0)
    numbers = [int(row["id"].removeprefix("s")) for row in plan]
    assert plan.rows == len(numbers) == 7
    assert numbers == sorted(numbers) != list(range(7))


def test_personas_belong_to_domains_by_words_or_by_name(tmp_path: Path) -> None:
    knobs = limrank_knobs(tmp_path, URL, seeds=40)
    knobs["limrank"]["domains"] = {"law": {"share": 3, "words": ["lawyer"]}, "music": {"share": 1}}
    people = [
        {"persona": "A retired Lawyer."},
        {"persona": "A lawyer who sings.", "domain": "music"},
        {"persona": "A plumber."},
    ]
    write_lines(tmp_path / "personas.jsonl", people)
    rows = [SeedPlan.from_row(row) for row in plan_seeds(tmp_path / "plan", RunSettings(**knobs).limrank, 0)]
    assert Counter((row.domain, row.persona) for row in rows) == {
        ("law", "A retired Lawyer."): 30,
        ("music", "A lawyer who sings."): 10,
    }


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("seeds", '{"id": 1, "text": "a"}\n{"id": 2, "te', r"row 2: not one JSON object"),
        ("seeds", '{"id": 1, "text": "a"}\n[]', r"row 2: a JSON list; a row must be an object"),
        ("seeds", '{"id": 1, "text": "a"}\n\n{"id": "1", "text": "b"}', r"row 3: the id '1' stands at row 1 too"),
        ("seeds", '{"id": 1, "text": " "}', r"row 1: the text of '1' is ' '; give one under 'text'"),
        ("seeds", '{"id": 1, "text": 5}', r"row 1: the text of '1' is 5"),
        ("seeds", '{"text": "a"}', r"row 1: the id is None; give one under 'id'"),
        ("seeds", '{"id": 1, "text": "\\ud800"}', r"row 1: 'text' holds half of a character pair"),
        ("seeds", "\xff", r"row 1: not UTF-8|row 1: not one JSON object"),
        ("seeds", "", "holds no row; give seed queries"),
        ("personas", '{"persona": "A judge."}\n{"person": "b"}', r"row 2: 'persona' is missing or blank"),
        ("personas", '{"persona": "x', r"row 1: not one JSON object"),
    ],
)
def test_a_bad_row_is_named_and_no_call_is_made(tmp_path: Path, name: str, content: str, said: str) -> None:
    with ScriptedEndpoint() as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url)
        (tmp_path / f"{name}.jsonl").write_text(content, encoding="latin-1")
        with pytest.raises(BadInput, match=rf"{name}\.jsonl(, |: ){said}"):
            run(settings, StringIO())
        assert endpoint.counts.requests == 0
    assert not (settings.run / "plan.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("corpus", '{"_id": "a", "text": "t"}\n{"_id": " a", "text": "u"}', r"row 2: the id 'a' was given at row 1"),
        ("corpus", '{"_id": "a", "title": " ", "text": ""}', r"row 1: 'a' has no text"),
        ("corpus", '{"_id": true, "text": "t"}', r"row 1: '_id' is True"),
        ("corpus", '{"_id": "a\\tb", "text": "t"}', r"row 1: the id 'a\\tb' holds a tab or a line break"),
        ("corpus", '{"_id": 7, "text": "t"}\n{"_id": "7", "text": "u"}', r"row 2: the id '7' was given at row 1"),
        ("corpus", '{"text": "t"}', r"row 1: '_id' is None"),
        ("corpus", '{"_id": "a", "text": "\\udc00"}', r"row 1: 'text' holds half of a character pair"),
        ("corpus", '{"_id": "a",', r"row 1: not one JSON object"),
        ("corpus", "", "holds no row; give a corpus"),
        ("examples", '{"query": ""}', r"row 1: .* is no example"),
        ("examples", "", "holds no row; give some queries in the voice of the domain"),
    ],
)
def test_a_bad_corpus_is_named_and_no_call_is_made(tmp_path: Path, name: str, content: str, said: str) -> None:
    with ScriptedEndpoint() as endpoint:
        settings = RunSettings(**corpus_knobs(tmp_path, endpoint.url))
        (tmp_path / f"{name}.jsonl").write_text(content)
        with pytest.raises(BadInput, match=rf"{name}\.jsonl(, |: ){said}"):
            run(settings, StringIO())
        assert endpoint.counts.requests == 0
    assert not (settings.run / "plan.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": "nowhere.jsonl"}, r"nowhere\.jsonl: cannot be read"),
        ({"domains": {"sports": {"share": 1}}}, "no persona belongs to the domain 'sports'"),
        ({"negatives": 2, "negative_types": {"partial": 1}}, "2 different negatives for a query, and 1 types have"),
    ],
)
def test_a_plan_that_cannot_be_made_is_a_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    knobs = limrank_knobs(tmp_path, URL)
    knobs["limrank"] |= change
    with pytest.raises(CommandError, match=said) as caught:
        run(RunSettings(**knobs), StringIO())
    assert isinstance(caught.value, BadInput | BadSettings)
