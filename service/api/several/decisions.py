"""`POST /v1/decisions` and `POST /v1/systemone`: questions about one text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.api.context import RequestContext
from service.api.routes import WARNINGS_HEADER
from service.api.several.route import Form
from service.errors import BadRequest, BodyTooLarge, EngineFailed, FixedPartsTooLong, ServiceError
from service.ranking import RerankCall
from service.reranker import Member, Outcome
from service.wire.several.decisions import DecisionRequest
from service.wire.shape import WireLimits, check_model

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Decisions:
    request: DecisionRequest

    @property
    def calls(self) -> Mapping[int | None, RerankCall]:
        return dict(enumerate(self.request.calls))

    def answer(self, outcomes: Sequence[Outcome], context: RequestContext) -> tuple[Any, Mapping[str, str]]:
        """All questions are answered, or the call fails with the first that is not."""
        members = []
        for field, outcome in zip(self.request.fields, outcomes, strict=True):
            if not isinstance(outcome, Member):
                raise _of_question(outcome, field)
            members.append(outcome)
        body = self.request.answer([member.ranking for member in members])
        warnings = " ".join(self._warnings(members))
        return body, {WARNINGS_HEADER: warnings} if warnings else {}

    def _warnings(self, members: Sequence[Member]) -> Sequence[str]:
        warnings = []
        if cut := [place for place, member in enumerate(members) if member.truncated]:
            shown = ", ".join(map(str, cut[:_SHOWN])) + (f" and {len(cut) - _SHOWN} more" if len(cut) > _SHOWN else "")
            warnings.append(f"The input was truncated for {len(cut)} of {len(members)} questions: {shown}.")
        if not self.request.calls[0].passages[0].strip():
            warnings.append("The input is blank.")
        return warnings


Read = Callable[[dict[str, Any], WireLimits], DecisionRequest]


def decisions_form(label: str, read: Read, limits: WireLimits) -> Form:
    """What is particular to questions in the shape that `read` reads."""

    def read_request(data: dict[str, Any], _: bytes) -> _Decisions:
        request = read(data, limits)
        check_model(request.calls[0].model, limits.model_names)
        return _Decisions(request)

    return Form(label, _refuse_very_many_values, read_request)


def _refuse_very_many_values(content: bytes) -> Any:
    raise BodyTooLarge("The body holds very many values; send the input as text, or in fewer values.")


def _of_question(error: ServiceError, field: str) -> ServiceError:
    """The same error, about a question."""
    if isinstance(error, FixedPartsTooLong):
        where = f"{field}.instructions"
        return BadRequest(f"{where} are too long for this model. {error.message}", field=where)
    if isinstance(error, EngineFailed):
        return EngineFailed(f"The engine could not answer {field}, also when it was alone.")
    return error
