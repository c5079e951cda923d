"""An OpenAI-compatible endpoint as an `LLM`; the only importer of the `openai` client.

The client itself retries 429 (obeying Retry-After), 5xx, timeouts and broken connections. Remaining errors are mapped
here: a question without an answer becomes `NoReply`, an endpoint that cannot answer any becomes `EndpointFailed`. Once
an endpoint has answered, a 403 or a broken connection concerns only that question.

Requests go through `client.post` with a finished body and return text: the typed `chat.completions.create` spends more
time on type checks than the rest of the call takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import openai

from cli.errors import BadSettings
from llm.base import EndpointFailed, NoReply, Question, Reply, estimate_tokens
from llm.chat_bodies import error_in, read_completion, request_body
from llm.endpoint import Endpoint, Structured
from llm.rate_limit import Pace

WAYS: tuple[Structured, ...] = ("json_schema", "json_object", "prompt")
QUESTION_AT_FAULT = (400, 413, 422)
SHOWN = 300  # characters of an endpoint's own text quoted in an error


class OpenAILLM:
    """One endpoint. Raises `BadSettings` immediately when its key is not in the environment.

    With `may_drop_temperature`, an endpoint that refuses the temperature is called without one.
    """

    def __init__(self, endpoint: Endpoint, *, may_drop_temperature: bool = False) -> None:
        self._endpoint = endpoint
        self._may_drop_temperature = may_drop_temperature
        self._ways: tuple[Structured, ...] = WAYS if endpoint.structured == "auto" else (endpoint.structured,)
        self._requests = Pace(endpoint.requests_per_minute) if endpoint.requests_per_minute else None
        self._tokens = Pace(endpoint.tokens_per_minute) if endpoint.tokens_per_minute else None
        self._usual_completion = endpoint.max_tokens / 2
        self._answered = False
        hooks = {"request": [self._before_request]} if self._requests else {}
        # The client's own aiohttp transport, if that extra is installed: a third less time per request.
        transport = openai.DefaultAioHttpClient if find_spec("aiohttp") else openai.DefaultAsyncHttpxClient
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=check_key(endpoint),
            max_retries=endpoint.retries,
            timeout=endpoint.timeout,
            http_client=transport(timeout=endpoint.timeout, event_hooks=hooks),
        )

    async def ask(self, question: Question) -> Reply:
        """One reply. When `response_format` is refused, tries the weaker ways in turn and keeps the first that is
        answered."""
        ways, endpoint = self._ways, self._endpoint
        for way in ways:
            try:
                reply = await self._send(endpoint, question, way)
            except openai.APIStatusError as error:
                if error.status_code not in QUESTION_AT_FAULT:
                    raise self._failure(error) from None
                refused = error
                if "temperature" in error.response.text.casefold() and self._drop_temperature(endpoint):
                    return await self.ask(question)
            except openai.APIError as error:
                raise self._failure(error) from None
            else:
                self._ways = (way,)
                return reply
        if not self._answered and self._drop_temperature(endpoint):  # some refuse it without naming it
            return await self.ask(question)
        raise NoReply(f"bad_request: {self._words(refused)}", self._without_key(refused.response.text), final=True)

    @property
    def temperature(self) -> float | None:
        """The temperature that is sent; None when none is sent."""
        return self._endpoint.temperature

    async def close(self) -> None:
        await self._client.close()

    def _drop_temperature(self, sent: Endpoint) -> bool:
        """Stops sending a temperature. Returns False when none was sent, or when it must stay."""
        if sent.temperature is None or not self._may_drop_temperature:
            return False
        self._endpoint = sent.model_copy(update={"temperature": None})
        return True

    async def _send(self, endpoint: Endpoint, question: Question, way: Structured) -> Reply:
        body = request_body(endpoint, question, way)
        expected = estimate_tokens(question) + self._usual_completion
        if self._tokens:
            await self._tokens.take(expected)
        start = time.monotonic()
        raw = await self._client.post("/chat/completions", body=body, cast_to=str)
        if (message := error_in(raw)) is not None:
            raise NoReply(f"error: {self._shown(message)}", self._without_key(raw), final=False)
        reply = read_completion(raw, time.monotonic() - start)
        self._answered = True
        if self._tokens and reply.prompt_tokens:
            self._tokens.correct(reply.prompt_tokens + reply.completion_tokens - expected)
            self._usual_completion += (reply.completion_tokens - self._usual_completion) / 16
        return reply

    async def _before_request(self, _: object) -> None:
        """Called by the client for every attempt, its own retries included."""
        if self._requests:
            await self._requests.take(1)

    def _failure(self, error: openai.APIError) -> NoReply | EndpointFailed:
        """Maps an error that remains after the client's retries."""
        endpoint = self._endpoint
        if isinstance(error, openai.APITimeoutError) and not _refused(error):
            return NoReply(f"timeout: no reply in {endpoint.timeout:g} s", "", final=False)
        if isinstance(error, openai.APIConnectionError):
            return self._broken(error.__cause__ or error)
        if not isinstance(error, openai.APIStatusError):
            return EndpointFailed(f"{endpoint.base_url} does not speak the protocol: {error}")
        words = self._words(error)
        moderated = error.status_code == 403 and self._answered  # a content refusal of this question
        message = {
            401: f"refused the key in '{endpoint.key_variable}'",
            403: f"refused the key in '{endpoint.key_variable}'",
            404: f"has no model '{endpoint.model}' or no chat",
            405: f"has no model '{endpoint.model}' or no chat",
            402: "has no credit left",
        }.get(402 if error.code == "insufficient_quota" else error.status_code)
        if message and not moderated:
            return EndpointFailed(f"{endpoint.base_url} {message} ({error.status_code}): {words}")
        raw = self._without_key(error.response.text)
        return NoReply(f"http_{error.status_code}: {words}", raw, final=moderated)

    def _broken(self, cause: BaseException) -> NoReply | EndpointFailed:
        if self._answered:
            return NoReply(f"broken: {cause}", "", final=False)
        return EndpointFailed(
            f"{self._endpoint.base_url} cannot be reached ({cause}); check the address and that its server runs."
        )

    def _words(self, error: openai.APIStatusError) -> str:
        body: object = error.body
        message = body.get("message") if isinstance(body, Mapping) else None
        text: Any = message or error.response.text or "no words"
        return self._shown(str(text))

    def _shown(self, text: str) -> str:
        return " ".join(self._without_key(text).split())[:SHOWN]

    def _without_key(self, text: str) -> str:
        """Removes the key from an endpoint's text, which may repeat it and may be shown or stored."""
        key = self._client.api_key
        return text.replace(key, "(the key)") if self._endpoint.key_variable else text


def check_key(endpoint: Endpoint) -> str:
    """The endpoint's key from the environment. Raises `BadSettings` when it requires one that is not set."""
    if not endpoint.key_variable:
        return "none"
    key = os.environ.get(endpoint.key_variable, "")
    if not key:
        raise BadSettings(
            f"{endpoint.key_variable} is not set: it should hold the key for {endpoint.base_url}. "
            "Set it, or name another variable with key_variable ('' where the endpoint wants no key)."
        )
    return key


def _refused(error: BaseException | None) -> bool:
    """Whether a failed connection caused `error`; the aiohttp transport reports that as a timeout too."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return True
        error = error.__cause__
    return False
