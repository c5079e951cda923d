"""Multiple-choice answers by an OpenAI-compatible model, with passages or without; every reply is kept.

The model must answer with one JSON object, `{"answer": "B"}`. Any other reply counts as wrong and is counted apart;
nothing is guessed out of a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.files import LineLog, json_line, whole_lines
from evaluation.benchmarks.gpqa import LETTERS, Question
from evaluation.errors import BadData, ScorerFailed

SYSTEM = (
    "You answer multiple-choice questions. Reply with one JSON object and nothing else: "
    '{"answer": "X"}, where X is A, B, C or D.'
)
PASSAGES = "Passages that a search found; they may or may not help:"


class Choice(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    answer: Literal["A", "B", "C", "D"]


class Answerer:
    """One model behind one endpoint. Replies are kept in `journal` (JSONL) by a hash of all that was sent,
    and where to."""

    def __init__(self, base_url: str, model: str, journal: Path, *, key: str | None, timeout_seconds: float) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=base_url.rstrip("/") + "/", headers=headers, timeout=timeout_seconds)
        self._model = model
        self._replies = _read(journal)
        self._log = LineLog(journal)

    def answer(self, question: Question, passages: Sequence[str]) -> str | None:
        """The letter that the model chose; None for a reply that is no such object. Raises `ScorerFailed`."""
        body = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": prompt(question, passages)},
            ],
            "temperature": 0,
            "response_format": {"type": "json_object"},
        }
        sent = {"to": str(self._client.base_url), **body}
        key = sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()
        if key not in self._replies:
            reply = self._ask(body)
            self._replies[key] = reply
            self._log.append(json_line({"key": key, "question": question.id, "reply": reply}, compact=False))
        return read_choice(self._replies[key])

    def close(self) -> None:
        self._client.close()
        self._log.close()

    def _ask(self, body: Mapping[str, Any]) -> str:
        try:
            answer = self._client.post("chat/completions", json=body)
            if answer.status_code in (400, 422):  # an endpoint that knows no response_format
                rest = {name: value for name, value in body.items() if name != "response_format"}
                answer = self._client.post("chat/completions", json=rest)
        except httpx.HTTPError as error:
            raise ScorerFailed(f"The answering model at {self._client.base_url} is out of reach ({error!r}).") from None
        if answer.status_code != 200:
            raise ScorerFailed(f"The answering model answered {answer.status_code}: {answer.text[:300]}")
        try:
            return str(answer.json()["choices"][0]["message"]["content"] or "")
        except (ValueError, LookupError, TypeError) as error:
            raise ScorerFailed(f"The answering model sent no completion ({error!r}): {answer.text[:300]}") from None


def prompt(question: Question, passages: Sequence[str]) -> str:
    """What the model is asked: passages by number where there are any, the question, the choices by letter."""
    numbered = [f"[{number}] {text}" for number, text in enumerate(passages, start=1)]
    choices = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices, strict=True)]
    found = [PASSAGES, *numbered, ""] if numbered else []
    return "\n".join([*found, f"Question: {question.text}", *choices])


def read_choice(reply: str) -> str | None:
    """The letter in `{"answer": "B"}`; None for any other reply."""
    try:
        return Choice.model_validate_json(reply).answer
    except ValidationError:
        return None


def _read(journal: Path) -> dict[str, str]:
    if not journal.exists():
        return {}
    try:
        rows = [json.loads(line) for _, line in whole_lines(journal)]
        return {row["key"]: row["reply"] for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{journal} holds a line that is no reply ({error}); delete the file.") from None
