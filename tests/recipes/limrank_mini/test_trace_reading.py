"""What a trace is found to say: by hand-written traces, and by every wording that the training data has."""

from __future__ import annotations

import pytest

from recipes.limrank_mini.medquad import traces as written
from recipes.limrank_mini.medquad.aspects import ASPECTS
from recipes.limrank_mini.medquad.instructions import INSTRUCTIONS
from recipes.limrank_mini.medquad.questions import Answer, Question
from recipes.limrank_mini.trace_reading import TYPES, Label, conclusion, read_trace

GOOD = (
    "The query asks how to treat paper cough. The passage describes the symptoms of paper cough. It does not say how "
    "to treat paper cough, so it does not answer the query."
)
FOCUS = "Harbour fever"
TREATMENT, SYMPTOMS = Label("Paper cough", "treatment"), Label("Paper cough", "symptoms")


def test_a_true_trace_is_right_in_every_part() -> None:
    found = read_trace(GOOD, TREATMENT, SYMPTOMS)
    assert found.all_right
    assert found.relevant is False


@pytest.mark.parametrize(
    ("query", "passage", "wrong"),
    [
        (Label("Glass knee", "treatment"), SYMPTOMS, "query_focus"),
        (Label("Paper cough", "causes"), SYMPTOMS, "query_type"),
        (TREATMENT, Label("Harbour fever", "symptoms"), "passage_focus"),
        (TREATMENT, Label("Paper cough", "outlook"), "passage_type"),
    ],
)
def test_each_wrong_label_is_noticed_and_no_other(query: Label, passage: Label, wrong: str) -> None:
    found = read_trace(GOOD, query, passage)
    parts = ("query_focus", "query_type", "passage_focus", "passage_type")
    assert [part for part in parts if not getattr(found, part)] == [wrong]


@pytest.mark.parametrize("trace", ["", "True.", "The query asks how to treat it.", "The passage is about paper cough."])
def test_a_trace_that_says_little_is_not_right(trace: str) -> None:
    found = read_trace(trace, TREATMENT, SYMPTOMS)
    assert not found.all_right
    assert found.relevant is None


def test_a_trace_that_says_both_concludes_nothing() -> None:
    assert conclusion("Asked. The passage is about it. So it is relevant. So it is not relevant.") is None
    assert conclusion("Asked. The passage is about it. It is not relevant.") is False
    assert conclusion("Asked. The passage is about it. So it answers the query.") is True


def test_a_focus_that_names_a_question_type_does_not_count_as_one() -> None:
    label = Label("Treatment of Stage IV symptoms (also known as late signs)", "causes")
    trace = (
        "The query asks what causes Treatment of Stage IV symptoms. The passage explains what causes Treatment of "
        "Stage IV symptoms. So it answers the query."
    )
    assert read_trace(trace, label, label).all_right


def test_the_examiner_knows_the_question_types_of_the_data() -> None:
    assert set(TYPES) == set(ASPECTS)


@pytest.mark.parametrize("name", sorted(ASPECTS))
def test_every_wording_of_the_training_data_is_read_as_its_own_type(name: str) -> None:
    label, asked = Label(FOCUS, name), _question(name)
    trace = f"{written.asked(asked)} {written.told(_answer(name), asked)} {written.ANSWERS}"
    found = read_trace(trace, label, label)
    assert (found.all_right, found.relevant) == (True, True), trace


def test_every_ending_of_the_training_data_is_read_as_what_it_says() -> None:
    asked, aspect = _question("treatment"), ASPECTS["symptoms"]
    for_it = [written.ANSWERS, written.POINTS_TO_IT, *(one.ending(asked, aspect, True) for one in INSTRUCTIONS)]
    against = [written.OTHER_QUESTION, written.QUESTION_IS_ANOTHER, written.TOUCHED, written.OTHER_SUBJECT]
    against += [written.OTHER_BOTH, *(one.ending(asked, aspect, False) for one in INSTRUCTIONS)]
    for relevant, endings in ((True, for_it), (False, against)):
        for ending in endings:
            assert conclusion(f"The query asks it. The passage tells it. {ending}") is relevant, ending


def _question(name: str) -> Question:
    return Question("q", f"What of {FOCUS}?", FOCUS, ASPECTS[name], frozenset({"C1"}), (0,))


def _answer(name: str) -> Answer:
    return Answer("d", f"{FOCUS} is rare.", FOCUS, ASPECTS[name], frozenset({"C1"}))


def test_a_list_of_links_is_named_as_treatment() -> None:
    label = Label("Harbour fever", "treatment")
    told = "The passage lists resources on the diagnosis or management of Harbour fever."
    trace = f"The query asks how to treat Harbour fever. {told} It points to where the management is covered."
    assert read_trace(trace, label, label).passage_type
