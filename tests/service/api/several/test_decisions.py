"""`POST /v1/decisions` and `/v1/systemone`: relevance under another name, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.engine import Completion, Prefix, Prompt
from service.errors import FixedPartsTooLong, ServiceError
from service.wire.several.decisions import (
    MEANING,
    DecisionRequest,
    DecisionsAnswer,
    SystemOneAnswer,
    read_decisions,
    read_systemone,
)
from service.wire.shape import WireLimits
from tests.fakes import ScriptedEngine
from tests.service.test_batch import CuttingEncoder
from tests.service.wire.rankings import ranking_of
from tests.service.wire.server import open_service
from tests.service.wire.test_properties import TEXTS, VALUES

TEXT = "a red apple"
RED, BLUE = "red apple", "blue sky"
DECISIONS = {"model": "m", "input": TEXT, "questions": [{"type": "predicate", "name": "red", "instructions": RED}]}
SYSTEM_ONE = {"model": "m", "state": TEXT, "questions": {"red": {"type": "noul", "instructions": RED}}}
LONG = "a word" * 20
REFUSAL = {"type": "refusal", "refusal": "no"}
LIMITS = WireLimits(("m", "*"), max_documents=20, max_body_bytes=10**6, body_seconds=1, max_batch_requests=4)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    engine = ScriptedEngine(fail_always={"poison"})
    with open_service(engine, max_batch_requests=50, model_aliases=("m",), served_name="served") as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        yield client


def relevance(client: httpx.Client, query: str, text: str) -> float:
    body = client.post("/rerank", json={"query": query, "documents": [text]}).json()
    return float(body["results"][0]["relevance_score"])


def test_a_probability_is_the_relevance_of_the_input_to_the_instructions(client: httpx.Client) -> None:
    questions = [
        {"type": "predicate", "name": "red", "instructions": RED},
        {"type": "predicate", "instructions": BLUE},
    ]
    answer = client.post("/v1/decisions", json=DECISIONS | {"questions": questions})
    assert answer.status_code == 200, answer.text
    body = TypeAdapter(DecisionsAnswer).validate_json(answer.content, strict=True)
    assert body["model"] == "served"
    assert body["answers"] == [
        {"type": "predicate", "name": "red", "probability": relevance(client, RED, TEXT)},
        {"type": "predicate", "name": None, "probability": relevance(client, BLUE, TEXT)},
    ]
    assert body["diagnostics"] == [{"label_mass": None}] * 2
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] == 100
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 40, "cache_write_tokens": 0}


def test_system_one_asks_and_answers_by_ids(client: httpx.Client) -> None:
    questions = {"red": {"type": "noul", "instructions": RED}, "": {"type": "noul", "instructions": BLUE}}
    answer = client.post("/v1/systemone", json=SYSTEM_ONE | {"questions": questions})
    assert answer.status_code == 200, answer.text
    body = TypeAdapter(SystemOneAnswer).validate_json(answer.content, strict=True)
    assert body["answers"] == {
        "red": {"type": "noul", "noul": relevance(client, RED, TEXT)},
        "": {"type": "noul", "noul": relevance(client, BLUE, TEXT)},
    }
    assert body["diagnostics"] == {"red": {"label_mass": None}, "": {"label_mass": None}}


def test_the_openai_sdks_own_call(url: str) -> None:
    sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    with sdk:
        found = sdk.decisions.create(
            model="m",
            input=[{"role": "user", "content": [{"type": "input_text", "text": TEXT}]}],
            questions=[
                {"type": "predicate", "instructions": RED, "name": "red"},
                {"type": "predicate", "instructions": [{"type": "input_text", "text": BLUE}]},
            ],
        )
        assert [answer.type for answer in found.answers] == ["predicate", "predicate"]
        assert [answer.name for answer in found.answers] == ["red", None]
        red, blue = (getattr(answer, "probability", -1.0) for answer in found.answers)
        assert 0 < blue < red < 1
        assert found.usage.input_tokens > 0
        assert found.usage.output_tokens_details.reasoning_tokens == 0
        with pytest.raises(openai.BadRequestError, match=r"questions\[0\].type is 'score'") as refused:
            sdk.decisions.create(
                model="m",
                input=TEXT,
                questions=[{"type": "score", "instructions": RED, "levels": [{"label": "a"}, {"label": "b"}]}],
            )
        assert refused.value.param == "questions[0].type"
        with pytest.raises(openai.NotFoundError):
            sdk.decisions.create(model="gpt", input=TEXT, questions=[{"type": "predicate", "instructions": RED}])


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"questions": []}, 400, "questions"),
        ({"questions": None}, 400, "questions"),
        ({"questions": {}}, 400, "questions"),
        ({"questions": ["red"]}, 400, "questions[0]"),
        ({"questions": [{}]}, 400, "questions[0].type"),
        ({"questions": [{"type": "predicate"}]}, 400, "questions[0].instructions"),
        ({"questions": [{"type": "predicate", "instructions": None}]}, 400, "questions[0].instructions"),
        ({"questions": [{"type": "predicate", "instructions": " "}]}, 400, "questions[0].instructions"),
        ({"questions": [{"type": "predicate", "instructions": 5}]}, 400, "questions[0].instructions"),
        ({"questions": [{"type": "predicate", "instructions": []}]}, 400, "questions[0].instructions"),
        ({"questions": [{"type": "predicate", "instructions": ["", " "]}]}, 400, "questions[0].instructions"),
        ({"questions": [{"type": "choice", "instructions": RED, "choices": []}]}, 400, "questions[0].type"),
        ({"questions": [{"type": "noul", "instructions": RED}]}, 400, "questions[0].type"),
        ({"questions": [{"type": 5, "instructions": RED}]}, 400, "questions[0].type"),
        ({"questions": [{"type": "predicate", "instructions": RED, "name": 5}]}, 400, "questions[0].name"),
        ({"questions": [{"type": "predicate", "instructions": RED}] * 51}, 413, "questions"),
        ({"input": None}, 400, "input"),
        ({"input": 5}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": ["text"]}, 400, "input[0]"),
        ({"input": [{"content": "text"}]}, 400, "input[0].role"),
        ({"input": [{"role": "user"}]}, 400, "input[0].content"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 400, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]},
            400,
            "input[0].content[0].type",
        ),
        ({"model": "plum"}, 404, "model"),
        ({"mode": "fast"}, 400, "mode"),
    ],
)
def test_what_is_no_decision(client: httpx.Client, fields: dict[str, Any], status: int, param: str) -> None:
    answer = client.post("/v1/decisions", json=DECISIONS | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert answer.json()["message"].endswith(".")
    assert client.post("/v1/decisions", json=DECISIONS).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"questions": {}}, 400, "questions"),
        ({"questions": []}, 400, "questions"),
        ({"questions": {"a": {"type": "score", "instructions": RED}}}, 400, "questions.a.type"),
        ({"questions": {"a": {"type": "predicate", "instructions": RED}}}, 400, "questions.a.type"),
        ({"questions": {"a": {"type": "noul"}}}, 400, "questions.a.instructions"),
        ({"questions": {"a": {"type": "noul", "instructions": {}}}}, 400, "questions.a.instructions"),
        ({"questions": {"a": 5}}, 400, "questions.a"),
        ({"questions": {"a" * 99: {"type": "noul"}}}, 400, f"questions.{'a' * 40}....instructions"),
        ({"questions": {str(n): {"type": "noul", "instructions": RED} for n in range(51)}}, 413, "questions"),
        ({"state": None}, 400, "state"),
        ({"state": 5}, 400, "state"),
        ({"state": True}, 400, "state"),
    ],
)
def test_what_is_no_system_one_call(client: httpx.Client, fields: dict[str, Any], status: int, param: str) -> None:
    answer = client.post("/v1/systemone", json=SYSTEM_ONE | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert client.post("/v1/systemone", json=SYSTEM_ONE).status_code == 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TEXT, TEXT),
        ([{"role": "user", "content": TEXT}], TEXT),
        (
            [
                {"role": "user", "content": "Is it red?", "type": "message"},
                {
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "It"}, {"type": "refusal", "refusal": "no"}],
                },
                {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "1"},
                {"type": "function_call_output", "call_id": "1", "output": "red"},
            ],
            "user: Is it red?\nassistant: It\nno\nfunction_call look: {}\nfunction_call_output: red",
        ),
        ([{"role": "user", "content": [{"type": "input_json", "data": {"a": [1]}}]}], '{"a":[1]}'),
    ],
)
def test_an_input_as_text(value: Any, text: str) -> None:
    assert read_decisions(DECISIONS | {"input": value}, LIMITS).calls[0].passages == (text,)


@pytest.mark.parametrize(
    ("value", "text"),
    [(TEXT, TEXT), (["a", "b"], "a\nb"), ({"a": [1, "é"]}, '{"a":[1,"é"]}'), ([], "[]"), ([1], "[1]")],
)
def test_a_state_as_text(value: Any, text: str) -> None:
    assert read_systemone(SYSTEM_ONE | {"state": value}, LIMITS).calls[0].passages == (text,)


def test_a_failure_names_the_question(client: httpx.Client) -> None:
    answer = client.post("/v1/decisions", json=DECISIONS | {"input": "poison"})
    assert answer.status_code == 500
    assert "questions[0]" in answer.json()["message"]


def test_a_blank_input_is_scored_with_a_warning(client: httpx.Client) -> None:
    answer = client.post("/v1/decisions", json=DECISIONS | {"input": " "})
    assert (answer.status_code, answer.headers["x-warnings"]) == (200, "The input is blank.")
    assert "x-warnings" not in client.post("/v1/decisions", json=DECISIONS).headers


class NarrowEncoder(CuttingEncoder):
    """Cuts texts of three words, and has no room for LONG."""

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        if query == LONG:
            raise FixedPartsTooLong("Query and instruction have more tokens than the model.", field="query")
        return super().prefix(query, instruction, budget)


class WordEngine(ScriptedEngine):
    """Tells how much of the probability is on the words that are read, as a causal model does."""

    def _completion(self, index: int, prompt: Prompt, log_odds: float) -> Completion:
        return replace(super()._completion(index, prompt, log_odds), mass=0.75)


@pytest.fixture(scope="module")
def narrow() -> Iterator[httpx.Client]:
    with open_service(WordEngine(encoder=NarrowEncoder())) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize("count", [1, 3, 25])
def test_an_input_that_is_too_long_is_truncated_with_a_warning(narrow: httpx.Client, count: int) -> None:
    texts = [f"{RED} {number}" for number in range(count)]
    shown = ", ".join(map(str, range(min(count, 20)))) + (" and 5 more" if count == 25 else "")
    says = f"The input was truncated for {count} of {count} questions: {shown}."
    decisions = [{"type": "predicate", "instructions": text} for text in texts]
    nouls = {text: {"type": "noul", "instructions": text} for text in texts}
    for path, body in (
        ("/v1/decisions", {"input": TEXT, "questions": decisions}),
        ("/v1/systemone", {"state": TEXT, "questions": nouls}),
    ):
        answer = narrow.post(path, json=body)
        assert (answer.status_code, len(answer.json()["answers"])) == (200, count)
        assert answer.headers["x-warnings"] == says
    short = narrow.post("/v1/decisions", json={"input": "an apple", "questions": decisions})
    assert short.status_code == 200
    assert "x-warnings" not in short.headers


def test_instructions_that_are_too_long_are_named(narrow: httpx.Client) -> None:
    for path, body, field in (
        (
            "/v1/decisions",
            {"input": "a", "questions": [{"type": "predicate", "instructions": text} for text in (RED, LONG)]},
            "questions[1].instructions",
        ),
        (
            "/v1/systemone",
            {"state": "a", "questions": {"x": {"type": "noul", "instructions": LONG}}},
            "questions.x.instructions",
        ),
    ):
        answer = narrow.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
        assert answer.json()["message"].startswith(f"{field} are too long for this model.")


def test_a_server_that_reads_in_windows_reads_inputs_so_too() -> None:
    long = "Bread rises in the oven. " * 20 + "A red apple lies here. " + "Rivers are long and wide. " * 20
    with (
        open_service(chunk_tokens=16, long_documents="chunk") as url,
        httpx.Client(base_url=url) as chunking,
    ):
        decision = chunking.post("/v1/decisions", json=DECISIONS | {"input": long})
        assert decision.json()["answers"][0]["probability"] == relevance(chunking, RED, long)
        best, other = (relevance(chunking, RED, text) for text in ("A red apple lies here.", "Bread rises."))
        assert decision.json()["answers"][0]["probability"] == best > other
        assert decision.json()["usage"]["input_tokens"] > 50 * 10, "all windows count"
        assert "x-warnings" not in decision.headers, "windows cut nothing off"
        system_one = chunking.post("/v1/systemone", json=SYSTEM_ONE | {"state": long})
        assert system_one.json()["answers"]["red"]["noul"] == best


def test_label_mass_is_what_the_model_tells(narrow: httpx.Client) -> None:
    decision = narrow.post("/v1/decisions", json=DECISIONS | {"model": None}).json()
    assert decision["diagnostics"] == [{"label_mass": 0.75}]
    system_one = narrow.post("/v1/systemone", json=SYSTEM_ONE | {"model": None}).json()
    assert system_one["diagnostics"] == {"red": {"label_mass": 0.75}}


def test_very_many_values_are_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/systemone", json=SYSTEM_ONE | {"state": [{}] * 60_000})
    assert answer.status_code == 413
    assert "very many values" in answer.json()["message"]


def test_the_page_and_info_say_what_a_probability_is(client: httpx.Client) -> None:
    page = client.get("/openapi.json").json()
    for path in ("/v1/decisions", "/v1/systemone"):
        assert page["paths"][path]["post"]["description"] == MEANING
    assert client.get("/info").json()["decisions"]["meaning"] == MEANING
    assert "not the probability that any statement is true" in MEANING


def outcome(
    read: Callable[[dict[str, Any], WireLimits], DecisionRequest], data: dict[str, Any]
) -> DecisionRequest | ServiceError:
    try:
        return read(data, LIMITS)
    except ServiceError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(
    data=st.fixed_dictionaries(
        {},
        optional={
            "model": TEXTS | VALUES,
            "input": TEXTS | st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS | VALUES})) | VALUES,
            "state": TEXTS | VALUES,
            "questions": st.lists(
                st.fixed_dictionaries({"type": st.just("predicate"), "instructions": TEXTS | VALUES}), max_size=5
            )
            | st.dictionaries(TEXTS, st.fixed_dictionaries({"type": st.just("noul"), "instructions": TEXTS | VALUES}))
            | VALUES,
        },
    )
)
def test_any_object_is_answered_or_refused_with_a_reason(data: dict[str, Any]) -> None:
    for read, answer_type in ((read_decisions, DecisionsAnswer), (read_systemone, SystemOneAnswer)):
        asked = outcome(read, data)
        if isinstance(asked, ServiceError):
            assert asked.status in (400, 413)
            assert asked.field
            assert asked.message.endswith(".")
        else:
            answer = asked.answer([ranking_of(call, 1.0) for call in asked.calls])
            TypeAdapter(answer_type).validate_python(answer, strict=True)
