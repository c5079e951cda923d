"""Multiple-choice answers by an OpenAI-compatible model, with or without passages; every reply is kept.

The model must answer with one JSON object, `{"answer": "B"}`, after its reasoning if it has any. Any other reply counts
as wrong and is also counted separately; no answer is guessed from free text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from contract.files import LineLog, json_line, whole_lines
from evaluation.benchmarks.gpqa import LETTERS, Question
from evaluation.errors import BadData, ScorerFailed
from llm.base import Finish, Message, NoReply, Reply
from llm.base import Question as Asked
from llm.chat_bodies import split_thought
from llm.endpoint import Endpoint
from llm.replies import Answer, Unusable, read_answer, schema_of

SYSTEM = (
    "You answer multiple-choice questions. Reply with one JSON object and nothing else: "
    '{"answer": "X"}, where X is A, B, C or D.'
)
PASSAGES = "Passages that a search found; they may or may not help:"


class Choice(Answer):
    answer: Literal["A", "B", "C", "D"]


@dataclass(frozen=True, slots=True)
class Answered:
    """The letter that the model chose; or None and the reason, one stable word such as `truncated` or `not_json`."""

    letter: str | None
    unreadable: str = ""


class Answerer:
    """One model behind one endpoint. `journal` (JSONL) keeps every reply, keyed by a hash of the question and the
    endpoint, with the temperature that was sent."""

    def __init__(self, endpoint: Endpoint, journal: Path) -> None:
        from llm.openai import OpenAILLM  # imported here: the library takes a second to import

        self._endpoint = endpoint
        self._llm = OpenAILLM(endpoint, may_drop_temperature=True)
        self._replies = _read(journal)
        self._log = LineLog(journal)
        self._answered = bool(self._replies)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        await self._llm.close()

    @property
    def temperature(self) -> float | None:
        """The temperature of the last request; None when none is sent."""
        return self._llm.temperature

    async def answer(self, question: Question, passages: Sequence[str]) -> Answered:
        """The model's choice. Raises `ScorerFailed` or `EndpointFailed` when the model cannot be asked."""
        messages = (Message("system", SYSTEM), Message("user", prompt(question, passages)))
        key = self._key(messages)
        if key not in self._replies:
            reply = await self._ask(Asked(messages, Choice.__name__, schema_of(Choice)))
            self._replies[key] = reply
            self._log.append(json_line(_row(key, question, reply), compact=False))
        return read_choice(self._replies[key])

    def _key(self, messages: Sequence[Message]) -> str:
        body: dict[str, Any] = {
            "to": self._endpoint.base_url.rstrip("/") + "/",
            "model": self._endpoint.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "response_format": {"type": "json_object"},  # in every key since the first journals
        }
        if self._endpoint.temperature is not None:
            body["temperature"] = self._endpoint.temperature
        if self._endpoint.max_tokens_name:
            body["max_tokens"] = self._endpoint.max_tokens
        return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    async def _ask(self, asked: Asked) -> Reply:
        try:
            reply = await self._llm.ask(asked)
        except NoReply as error:
            if not (error.final and self._answered):
                raise ScorerFailed(
                    f"The answering model at {self._endpoint.base_url} gave no reply ({error.reason}); the same "
                    "command goes on from here."
                ) from None
            return Reply(error.raw, "", Finish.BROKEN, 0, 0, 0.0)
        if reply.finish is Finish.BROKEN and not self._answered:
            raise ScorerFailed(
                f"The answering model at {self._endpoint.base_url} sent no completion: {reply.text[:300]}"
            )
        self._answered = True
        return reply


def prompt(question: Question, passages: Sequence[str]) -> str:
    """The prompt: numbered passages if there are any, the question, and the choices by letter."""
    numbered = [f"[{number}] {text}" for number, text in enumerate(passages, start=1)]
    choices = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices, strict=True)]
    found = [PASSAGES, *numbered, ""] if numbered else []
    return "\n".join([*found, f"Question: {question.text}", *choices])


def read_choice(reply: Reply) -> Answered:
    """The letter in `{"answer": "B"}`, plain or in one fenced block; None for any other reply."""
    try:
        return Answered(read_answer(reply, Choice).answer)
    except Unusable as error:
        return Answered(None, error.reason.partition(":")[0])


def _row(key: str, question: Question, reply: Reply) -> dict[str, str]:
    return {
        "key": key,
        "question": question.id,
        "reply": reply.text,
        "reasoning": reply.reasoning,
        "finish": reply.finish,
    }


def _read(journal: Path) -> dict[str, Reply]:
    """Reads the replies of a journal. Rows of older versions hold only the text, reasoning included."""
    if not journal.exists():
        return {}
    try:
        return dict(_kept(json.loads(line)) for _, line in whole_lines(journal))
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{journal} holds a line that is no reply ({error}); delete the file.") from None


def _kept(row: dict[str, str]) -> tuple[str, Reply]:
    thought, text = (row["reasoning"], row["reply"]) if "reasoning" in row else split_thought(row["reply"])
    return row["key"], Reply(text, thought, Finish(row.get("finish", Finish.STOP)), 0, 0, 0.0)
