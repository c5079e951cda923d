"""A reply is exactly the JSON asked for, or it is named for what it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.base import Finish, Reply
from llm.replies import Answer, Unusable, read_answer, schema_of
from synth.methods.corpus.judge import Score
from synth.methods.corpus.queries import Queries
from synth.methods.persona.judge import Judgement
from synth.methods.persona.passages import Passage
from synth.methods.persona.queries import QueryPair

SHAPES = (Score, Queries, Judgement, Passage, QueryPair)


def reply(text: str, finish: Finish = Finish.STOP) -> Reply:
    return Reply(text, "", finish, 10, 20, 0.1)


def test_a_good_reply_is_read() -> None:
    assert read_answer(reply('{"reasoning": " r ", "relevant": true}'), Judgement) == Judgement(
        reasoning="r", relevant=True
    )


@pytest.mark.parametrize(
    "fence",
    [
        *("```json\n{}\n```", "```\n{}\n```", "\n```json\n{}\n```\n"),
        *(
            "```JSON\n{}\n```",
            "``` json\r\n{}\r\n```",
            "~~~json\n{}\n~~~",
            "```json\n{}```",
            "```json {} ```",
            "```{}```",
        ),
    ],
)
def test_one_fenced_block_and_nothing_else_is_read_too(fence: str) -> None:
    text = fence.replace("{}", '{"reasoning": "r", "relevant": false}')
    assert read_answer(reply(text), Judgement).relevant is False


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("true", "wrong_shape: the reply"),
        ('Here: {"reasoning": "r", "relevant": true}', "not_json"),
        ('{"reasoning": "r", "relevant": true} Done.', "not_json"),
        ("{'reasoning': 'r', 'relevant': True}", "not_json"),
        ('{"reasoning": "r", "relevant": "true"}', "wrong_shape: relevant"),
        ('{"reasoning": "r", "relevant": 1}', "wrong_shape: relevant"),
        ('{"reasoning": "r"}', "wrong_shape: relevant: Field required"),
        ('{"reasoning": "r", "relevant": true, "sure": 1}', "wrong_shape: sure"),
        ('{"reasoning": "", "relevant": true}', "wrong_shape: reasoning"),
        ('[{"reasoning": "r", "relevant": true}]', "wrong_shape"),
        ('```json\n{"reasoning": "r", "relevant": true}\n``` and more', "not_json"),
        ('```python\n{"reasoning": "r", "relevant": true}\n```', "not_json"),
        ('```json\n{"reasoning": "r", "relevant": true}', "not_json"),
        ('```json\n{"reasoning": "r", "relevant": true}\n~~~', "not_json"),
        ('```json\n{"reasoning": "r", "relevant": true}\n```\n```json\n{}\n```', "not_json"),
        ("[" * 100_000, "not_json"),
        ('{"reasoning": "\\ud800", "relevant": true}', "not_json"),
    ],
)
def test_anything_else_is_unusable(text: str, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        read_answer(reply(text), Judgement)
    assert caught.value.reason.startswith(reason)
    assert len(caught.value.reason) < 200
    assert caught.value.again


@pytest.mark.parametrize(
    ("finish", "reason", "again"),
    [
        (Finish.REFUSAL, "refusal: no", False),
        (Finish.LENGTH, "truncated: the endpoint cut the reply at 20 tokens", True),
        (Finish.BROKEN, "broken_body: no", True),
    ],
)
def test_a_reply_that_did_not_end_by_itself_is_unusable(finish: Finish, reason: str, again: bool) -> None:
    with pytest.raises(Unusable) as caught:
        read_answer(reply("no", finish), Judgement)
    assert (caught.value.reason, caught.value.again) == (reason, again)


@pytest.mark.parametrize("score", [-1, 11, 7.5, "7", True, None])
def test_a_score_is_a_whole_number_from_0_to_10(score: object) -> None:
    with pytest.raises(Unusable, match="wrong_shape: score"):
        read_answer(reply(json.dumps({"reasoning": "r", "score": score})), Score)


@pytest.mark.parametrize("queries", [[], ["a", " "], "a", [1]])
def test_queries_are_a_list_of_texts(queries: object) -> None:
    with pytest.raises(Unusable, match="wrong_shape: queries"):
        read_answer(reply(json.dumps({"queries": queries})), Queries)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_schema_asks_for_every_field_and_allows_no_other(shape: type[Answer]) -> None:
    """Endpoints with strict schemas demand both, of every object in it."""

    def objects(node: object) -> list[dict[str, object]]:
        found = []
        if isinstance(node, dict):
            found = [node] if node.get("type") == "object" else []
            found += [inner for value in node.values() for inner in objects(value)]
        return found

    schema = schema_of(shape)
    assert objects(schema)
    for node in objects(schema):
        properties = node["properties"]
        assert isinstance(properties, dict)
        assert node["additionalProperties"] is False
        assert node["required"] == list(properties)


@given(st.text())
def test_no_text_is_read_as_something_it_is_not(text: str) -> None:
    """Whatever a model writes, reading gives a checked value or `Unusable`, and never another error."""
    try:
        value = read_answer(reply(text), Judgement)
    except Unusable:
        return
    assert value.reasoning.strip()
