"""Negatives that praise themselves: labels stay, the measured sentences are not trained on."""

from __future__ import annotations

from evaluation.injections import INJECTIONS
from recipes.limrank_mini.general.drafts import Draft
from recipes.limrank_mini.general.injected import DEMANDS, INJECTED, injected_groups, inserted
from recipes.limrank_mini.general.sentences import normal


def drafts(count: int) -> list[Draft]:
    return [
        Draft(
            f"general/q{number}",
            f"how heavy is thing {number}",
            tuple(f"Passage {number}.{place} weighs something." for place in range(4)),
            True,
            "made",
            ("MIT",) if number % 2 else ("CC0-1.0",),
            "things",
        )
        for number in range(count)
    ]


def test_groups_keep_query_label_and_the_passages_that_got_nothing() -> None:
    made = drafts(40)
    groups = list(injected_groups(made, 30))
    assert len(groups) == 30
    originals = {draft.id: draft for draft in made}
    fair = 0
    for group in groups:
        original = originals[group.id.removeprefix("injected/")]
        assert group.labelled
        assert not group.taught
        assert (group.query, group.passages[0].count(original.passages[0])) == (original.query, 1)
        fair += group.passages[0] != original.passages[0]
        for number in range(1, 1 + INJECTED):
            assert original.passages[number] in group.passages[number] != original.passages[number]
        assert group.passages[1 + INJECTED] == original.passages[1 + INJECTED]
        assert len(set(group.passages)) == len(group.passages) == len(original.passages) + 1
        assert set(group.licences) >= set(original.licences)
    assert 0 < fair < len(groups)


def test_no_measured_sentence_is_trained_on() -> None:
    measured = {normal(sentence) for sentence in INJECTIONS}
    assert not measured & {normal(sentence) for sentence in DEMANDS}
    assert len(set(DEMANDS)) == len(DEMANDS)


def test_all_kinds_of_insertions_are_drawn_and_stay_short() -> None:
    query = " ".join(f"word{number}" for number in range(100))
    kinds = set()
    for number in range(60):
        added = inserted("The text.", query, str(number)).replace("The text.", "").strip()
        assert len(added.split()) <= 40
        demand = added in DEMANDS
        kinds.add("demand" if demand else "echo" if "word0 word1 word2" in added else "pile")
    assert kinds == {"demand", "echo", "pile"}
    assert inserted("The text.", "?", "a").replace("The text.", "").strip() in DEMANDS
    assert inserted("The text.", query, "a") == inserted("The text.", query, "a")
