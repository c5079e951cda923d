"""Each filter that looks at one record alone: what it drops, what it keeps, and the reason it gives."""

from __future__ import annotations

from typing import Any

import pytest

from contract.records import Votes
from synth.errors import BadSettings
from synth.filters.agreement import Agreement
from synth.filters.chain import FilterSettings, build_filters
from synth.filters.coherence import Coherence, conclusion
from synth.filters.language import Language
from synth.filters.leaks import LabelLeaks
from synth.filters.lengths import Bounds, Lengths
from synth.filters.names import FILTERS
from tests.synth.examples import TRACE_AGAINST, TRACE_FOR, record


@pytest.mark.parametrize(
    ("true", "false", "relevant", "reason"),
    [
        (3, 0, True, None),
        (2, 1, True, None),
        (1, 2, True, "less than 0.67 of the votes are for the label"),
        (0, 3, True, "all votes are against the label"),
        (0, 3, False, None),
        (1, 2, False, None),
        (1, 1, False, "fewer than 3 votes"),
    ],
)
def test_agreement_asks_for_votes_and_a_share(true: int, false: int, relevant: bool, reason: str | None) -> None:
    voted = record(relevant=relevant, votes=Votes(true=true, false=false))
    assert Agreement(votes=3, threshold=2 / 3).reason(voted) == reason


def test_agreement_keeps_what_nobody_voted_on_unless_votes_are_required() -> None:
    assert Agreement(votes=3).reason(record()) is None
    assert Agreement(required=True).reason(record()) == "no judge has voted"


CONCLUSIONS = [
    (TRACE_FOR, True),
    (TRACE_AGAINST, False),
    ("The passage talks about yeast. Therefore, the passage is relevant.", True),
    ("At first it seems relevant to the query. But the dates differ, so it is not relevant.", False),
    ("It does not name the city. Still, it answers the question by giving the river.", True),
    ("The passage isn't directly relevant to the query.", False),
    ("So it\u2019s on topic but doesn\u2019t answer what was asked.", False),
    ("This document is irrelevant.", False),
    ("It is not irrelevant.", True),
    ("The passage is unrelated to ferries.", False),
    ("The final answer is true.", True),
    ("So the verdict should be: false", False),
    ("The passage fails to address the price.", False),
    ("It cannot be considered relevant here.", False),
    ("The passage is about ferries but it would not help a traveller.", False),
    ("Yes. It satisfies the query.", True),
    ("The passage meets the definition, hence it counts as relevant.", True),
    ("It can answer the question.", True),
    ("The passage contains no answer to the query.", False),
    ("It has the right subject and answers another question.", False),
    ("There is nothing that answers it.", False),
    ("It is relevant. Now I'll write the answer as JSON.", True),
    ("Bread is baked at high heat.", None),
    ("", None),
    ("False teeth are made of resin.", None),
]


@pytest.mark.parametrize(("trace", "expected"), CONCLUSIONS)
def test_a_trace_concludes_what_its_last_word_on_it_says(trace: str, expected: bool | None) -> None:
    assert conclusion(trace) is expected


def test_coherence_drops_traces_that_turn_against_their_label() -> None:
    coherence = Coherence()
    assert coherence.reason(record(trace=TRACE_FOR)) is None
    assert coherence.reason(record(trace=TRACE_AGAINST, relevant=False)) is None
    assert coherence.reason(record(trace=TRACE_AGAINST)) == "the trace finds against the passage, the label for"
    assert (
        coherence.reason(record(trace=TRACE_FOR, relevant=False))
        == "the trace finds for the passage, the label against"
    )
    assert coherence.reason(record()) is None
    assert coherence.undecided == 0
    assert coherence.reason(record(trace="Bread is baked.")) is None
    assert coherence.undecided == 1
    assert Coherence(strict=True).reason(record(trace="Bread is baked.")) == "the trace comes to no conclusion"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace": "The given label is true, so I agree."}, "'given label' in the trace"),
        ({"trace": "As it was labelled as relevant, yes."}, "'labelled as relevant' in the trace"),
        ({"trace": "I was told that it is relevant."}, "'i was told that it' in the trace"),
        ({"trace": "We are given the label, so it is relevant."}, "'we are given the label' in the trace"),
        ({"trace": "I am asked to justify this."}, "'i am asked to justify' in the trace"),
        ({"trace": "This is a hard negative example."}, "'hard negative example' in the trace"),
        ({"trace": "It matches the ground truth."}, "'ground truth' in the trace"),
        ({"trace": "It is relevant. </think> true"}, "'</think>' in the trace"),
        ({"passage": "Sure! Here is a passage about bread that looks right."}, "'here is a passage' in the passage"),
        ({"passage": "As an AI language model, I bake no bread at all."}, "'as an ai language model' in the passage"),
        ({"passage": "This passage is not relevant since it is about [insert topic]."}, "in the passage"),
        ({"query": "I can\u2019t help with that request"}, "'i can't help' in the query"),
    ],
)
def test_leaks_are_dropped_by_their_phrase(fields: dict[str, Any], reason: str) -> None:
    found = LabelLeaks().reason(record(**fields))
    assert found is not None
    assert found.endswith(reason)


@pytest.mark.parametrize(
    "fields",
    [
        {"trace": TRACE_FOR},
        {"trace": "We are given a query and a passage. The expected answer is a year, and it gives one."},
        {"trace": "The label on the jar names the maker, which is what was asked, so it is relevant."},
        {"passage": "Food labels list what is inside. A truthful label is required by law in most countries."},
        {"passage": "The film negative is developed in the dark. A positive sample is then printed."},
        {"query": "what does ground truth mean in surveying"},
    ],
)
def test_words_that_leak_nothing_are_kept(fields: dict[str, Any]) -> None:
    assert LabelLeaks().reason(record(**fields)) is None


def test_lengths_are_bounds_in_words_both_allowed() -> None:
    lengths = Lengths({"query": Bounds(2, 4), "trace": Bounds(3, 5)})
    assert lengths.reason(record(query="two words")) is None
    assert lengths.reason(record(query="one two three four")) is None
    assert lengths.reason(record(query="one")) == "query of less than 2 words"
    assert lengths.reason(record(query="one two three four five")) == "query of more than 4 words"
    assert lengths.reason(record(query="two words", trace="too short")) == "trace of less than 3 words"


def test_language_is_that_of_each_text() -> None:
    english = Language()
    german = "Brot geht auf, weil die Hefe im warmen Teig Gas bildet und der Teig dabei ruht."
    assert english.reason(record(trace=TRACE_FOR)) is None
    assert english.reason(record(passage=german)) == "passage in 'de'"
    assert (
        english.reason(record(query="warum geht der Teig beim Backen auf und fällt dann zusammen")) == "query in 'de'"
    )
    assert english.reason(record(trace="Der Text beantwortet die Frage, also ist er relevant.")) == "trace in 'de'"
    assert english.reason(record(query="Brot, warum")) is None  # too short to tell
    assert Language(("en", "de")).reason(record(passage=german)) is None


def test_only_the_filters_that_are_named_are_made_in_their_order() -> None:
    with build_filters(FilterSettings(only=("near-duplicate", "length", "agreement"))) as filters:
        assert [one.name for one in filters] == ["length", "agreement", "near-duplicate"]
    with build_filters(FilterSettings()) as filters:
        assert tuple(one.name for one in filters) == FILTERS
    with (
        pytest.raises(BadSettings, match="'spelling' is no filter; the filters are length"),
        build_filters(FilterSettings(only=("spelling",))),
    ):
        pass
