"""Decisions: questions about one text, each answered with the relevance of the text to the question's instructions.

Two bodies: OpenAI's `input` with a list of predicates, and System One's `state` with an object of `noul` questions.
Other types of questions are refused: a reranker chooses nothing and rates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import BadRequest, BodyTooLarge
from service.ranking import Mode, Ranking, RerankCall
from service.wire.fields import WireBody, closed, read_fields
from service.wire.several.text import text_of_input, text_of_instructions, text_of_state
from service.wire.shape import WireLimits

MEANING = (
    "A probability here is the relevance of the input to the instructions, as this service's model scores it: the "
    "relevance_score of the input as a document for the instructions as a query. It is not the probability that any "
    "statement is true."
)
_LONGEST_TYPE = 40

Probability = Annotated[float, Field(ge=0, le=1, description="Relevance of the input to the instructions.")]


class PredicateQuestion(WireBody):
    type: Literal["predicate"]
    name: str | None = None
    instructions: Annotated[Any, Field(description="Text, or a list of parts of text or JSON.")]


class NoulQuestion(WireBody):
    type: Literal["noul"]
    instructions: Annotated[Any, Field(description="Text, or JSON.")]


Question = TypeVar("Question", PredicateQuestion, NoulQuestion)


class _Asked(WireBody):
    model: str | None = Field(None, description="The served name or one of its aliases.")
    mode: Literal["direct", "reasoning"] | None = Field(None, description="Default: the server's.")


class DecisionsBody(_Asked):
    """Questions as OpenAI's clients send them. Unknown fields are ignored."""

    input: Annotated[Any, Field(description="Text, or a list of messages, calls and their outputs.")]
    questions: Annotated[list[dict[str, Any]], Field(min_length=1, description="Predicates; no other types.")]


class SystemOneBody(_Asked):
    """Questions as System One's clients send them. Unknown fields are ignored."""

    state: Annotated[Any, Field(description="Text, an object or a list.")]
    questions: Annotated[dict[str, dict[str, Any]], Field(min_length=1, description="By id; of type noul only.")]


@closed
class Predicate(TypedDict):
    type: Literal["predicate"]
    name: str | None
    probability: Probability


@closed
class Noul(TypedDict):
    type: Literal["noul"]
    noul: Probability


@closed
class Diagnostics(TypedDict):
    label_mass: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        Field(description="Probability on all answer words; null where the model tells none."),
    ]


@closed
class InputDetails(TypedDict):
    cached_tokens: int
    cache_write_tokens: int


@closed
class OutputDetails(TypedDict):
    reasoning_tokens: int


@closed
class DecisionUsage(TypedDict):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


@closed
class DecisionsAnswer(TypedDict):
    """Answers and diagnostics in the order of the questions."""

    model: str
    answers: list[Predicate]
    usage: DecisionUsage
    diagnostics: list[Diagnostics]


@closed
class SystemOneAnswer(TypedDict):
    """Answers and diagnostics by the ids of the questions."""

    model: str
    answers: dict[str, Noul]
    usage: DecisionUsage
    diagnostics: dict[str, Diagnostics]


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """Questions about one text. `label` is that of the body's shape, `names` are those of the questions (their ids in
    System One's shape), `fields` where each stands in the body; `calls`: one document for each."""

    label: str
    names: tuple[str | None, ...]
    fields: tuple[str, ...]
    calls: tuple[RerankCall, ...]

    def answer(self, rankings: Sequence[Ranking]) -> DecisionsAnswer | SystemOneAnswer:
        """Returns the body of the answer, from the ranking of each call."""
        scores = [ranking.results[0].relevance for ranking in rankings]
        diagnostics: list[Diagnostics] = [{"label_mass": ranking.results[0].label_mass} for ranking in rankings]
        model, usage = rankings[0].model, _usage(rankings)
        if self.label == OPENAI:
            answers: list[Predicate] = [
                {"type": "predicate", "name": name, "probability": score}
                for name, score in zip(self.names, scores, strict=True)
            ]
            return {"model": model, "answers": answers, "usage": usage, "diagnostics": diagnostics}
        ids = [name or "" for name in self.names]
        nouls: dict[str, Noul] = {
            name: {"type": "noul", "noul": score} for name, score in zip(ids, scores, strict=True)
        }
        told = dict(zip(ids, diagnostics, strict=True))
        return {"model": model, "answers": nouls, "usage": usage, "diagnostics": told}


OPENAI, SYSTEM_ONE = "decisions", "systemone"


def read_decisions(data: dict[str, Any], limits: WireLimits) -> DecisionRequest:
    """Reads OpenAI's body. Raises BadRequest naming the field that does not fit; BodyTooLarge for many questions."""
    body = read_fields(DecisionsBody, data)
    _check_count(len(body.questions), limits)
    text = text_of_input(body.input, "input")
    fields = [f"questions[{place}]" for place in range(len(body.questions))]
    read = [_question(PredicateQuestion, *named) for named in zip(fields, body.questions, strict=True)]
    calls = [_call(body, text, question.instructions, field) for question, field in zip(read, fields, strict=True)]
    return DecisionRequest(OPENAI, tuple(question.name for question in read), tuple(fields), tuple(calls))


def read_systemone(data: dict[str, Any], limits: WireLimits) -> DecisionRequest:
    """Reads System One's body. Raises as `read_decisions` does."""
    body = read_fields(SystemOneBody, data)
    _check_count(len(body.questions), limits)
    text = text_of_state(body.state, "state")
    fields = [f"questions.{_short(name)}" for name in body.questions]
    read = [_question(NoulQuestion, *named) for named in zip(fields, body.questions.values(), strict=True)]
    calls = [_call(body, text, question.instructions, field) for question, field in zip(read, fields, strict=True)]
    return DecisionRequest(SYSTEM_ONE, tuple(body.questions), tuple(fields), tuple(calls))


def _check_count(questions: int, limits: WireLimits) -> None:
    most = min(limits.max_batch_requests, limits.max_documents)
    if questions > most:
        raise BodyTooLarge(
            f"questions holds {questions} items, more than the limit of {most}; send fewer.", field="questions"
        )


def _question(model: type[Question], field: str, sent: dict[str, Any]) -> Question:
    """Reads one question. Raises BadRequest for a type that is not answered here, and for what does not fit."""
    kind, answered = sent.get("type"), get_args(model.model_fields["type"].annotation)[0]
    if isinstance(kind, str) and kind != answered:
        raise BadRequest(
            f"{field}.type is {kind[:_LONGEST_TYPE]!r}, and this service answers only questions of type {answered!r}: "
            "it scores how relevant a text is to instructions, and can neither choose nor rate.",
            field=f"{field}.type",
        )
    try:
        return read_fields(model, sent)
    except BadRequest as error:
        raise BadRequest(f"{field}.{error.message}", field=f"{field}.{error.field}") from None


def _call(body: _Asked, text: str, instructions: object, field: str) -> RerankCall:
    return RerankCall(
        query=text_of_instructions(instructions, f"{field}.instructions"),
        passages=(text,),
        documents=(),
        model=body.model,
        mode=None if body.mode is None else Mode(body.mode),
        return_label_mass=True,
    )


def _usage(rankings: Sequence[Ranking]) -> DecisionUsage:
    prompts, traces = (
        sum(ranking.prompt_tokens for ranking in rankings),
        sum(ranking.reasoning_tokens for ranking in rankings),
    )
    return {
        "input_tokens": prompts,
        "input_tokens_details": {
            "cached_tokens": sum(ranking.cached_tokens for ranking in rankings),
            "cache_write_tokens": 0,
        },
        "output_tokens": traces,
        "output_tokens_details": {"reasoning_tokens": traces},
        "total_tokens": prompts + traces,
    }


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_TYPE else name[:_LONGEST_TYPE] + "..."
