"""A running service over HTTP, so that the measured code is the code that ships."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from evaluation.benchmarks.task import Query, Task
from evaluation.errors import ScorerFailed
from evaluation.scorers.scorer import Scored

LARGEST_LOG_ODDS = 36.7  # at relevance 1 - 2^-53, the largest that a JSON number distinguishes from 1
TRIES = 8
SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """Options of the requests. `mode` is `direct` or `reasoning`; the token limits are request fields."""

    mode: str = "direct"
    max_reasoning_tokens: int | None = None
    max_tokens_per_doc: int | None = None
    concurrency: int = 2
    timeout_seconds: float = 600.0
    key: str | None = None
    probe_tokens: int | None = None  # read the verdict behind every so many tokens of a trace


@dataclass(frozen=True, slots=True)
class RankedDocuments:
    """One call's answer: indices, best first; all tokens that it took; seconds as the client saw them. `cascaded`: both
    models of a cascade had a part in it."""

    order: Sequence[int]
    tokens: int
    seconds: float
    cascaded: bool = False


class HttpScorer:
    """`POST /rerank` of a service at `url`. `weights` identifies its weights, if known."""

    def __init__(
        self, url: str, options: ServiceOptions, *, name: str | None = None, weights: str | None = None
    ) -> None:
        self._options = options
        self._weights = weights
        headers = {"X-Request-Timeout-Ms": str(round(options.timeout_seconds * 1000))}
        if options.key is not None:
            headers["Authorization"] = f"Bearer {options.key}"
        self._client = httpx.Client(base_url=url, headers=headers, timeout=options.timeout_seconds + 30)
        try:
            self._info = self._describe()
        except ScorerFailed:
            self._client.close()
            raise
        self._name = name or f"{self._part('model').get('name', url)} ({options.mode})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def concurrency(self) -> int:
        return self._options.concurrency

    def identity(self) -> Mapping[str, Any]:
        options, model, engine = self._options, self._part("model"), self._part("engine")
        identity: dict[str, Any] = {"kind": "service", "model": model.get("name"), "weights": self._weights}
        identity |= {name: model.get(name) for name in ("revision", "fingerprint", "temperature", "data_sha256")}
        if options.mode == "reasoning":
            identity["temperature"] = model.get("reasoning_temperature", model.get("temperature"))
        identity |= {"engine": engine.get("name"), "dtype": engine.get("dtype"), "mode": options.mode}
        limits = self._part("limits")
        identity["max_tokens_per_doc"] = options.max_tokens_per_doc or limits.get("max_tokens_per_doc")
        if options.mode == "reasoning":
            identity["max_reasoning_tokens"] = options.max_reasoning_tokens or limits.get("default_reasoning_tokens")
        if options.probe_tokens is not None:
            identity["probe_tokens"] = options.probe_tokens
        return identity

    @property
    def info(self) -> Mapping[str, Any]:
        """The answer of `GET /info`."""
        return self._info

    def prepare(self, task: Task) -> None:
        """Does nothing: the service has no corpus."""

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        options = self._options
        body: dict[str, Any] = {
            "query": query.text,
            "documents": [text for _, text in passages],
            "mode": options.mode,
            "return_reasoning": options.mode == "reasoning",
        }
        optional = {
            "instruction": query.instruction,
            "max_tokens_per_doc": options.max_tokens_per_doc,
            "max_reasoning_tokens": options.max_reasoning_tokens if options.mode == "reasoning" else None,
            "return_probes": options.probe_tokens,
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        return _read(self._post(body).json(), len(passages))

    def rank(self, query: Query, texts: Sequence[str]) -> RankedDocuments:
        """Ranks documents in one call, in the order that the service gives them. Raises `ScorerFailed`."""
        body: dict[str, Any] = {"query": query.text, "documents": list(texts), "mode": self._options.mode}
        if query.instruction is not None:
            body["instruction"] = query.instruction
        begun = time.monotonic()
        answer = self._post(body).json()
        seconds = time.monotonic() - begun
        order = [result["index"] for result in answer["results"]]
        if sorted(order) != list(range(len(texts))):
            raise ScorerFailed(f"The service answered for {len(order)} of {len(texts)} passages.")
        cascaded = any(result.get("stage") == "first" for result in answer["results"])
        return RankedDocuments(order, answer["usage"]["total_tokens"], seconds, cascaded)

    def close(self) -> None:
        self._client.close()

    def _part(self, name: str) -> Mapping[str, Any]:
        """One object of the answer of `GET /info`."""
        found = self._info.get(name)
        return found if isinstance(found, dict) else {}

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        """Sends a request; retries after the time that a busy service states."""
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._client.post("/rerank", json=body)
            except httpx.HTTPError as error:
                raise ScorerFailed(f"{self._client.base_url} stopped answering ({error!r}).") from error
            if answer.status_code not in (429, 503) or attempt == TRIES:
                break
            time.sleep(min(60.0, _seconds(answer.headers.get("Retry-After"), attempt)))
        if answer.status_code != 200:
            raise ScorerFailed(f"{self._client.base_url} answered {answer.status_code}: {answer.text[:SHOWN]}")
        return answer

    def _describe(self) -> dict[str, Any]:
        try:
            answer = self._client.get("/info")
        except httpx.HTTPError as error:
            raise ScorerFailed(f"There is no service at {self._client.base_url} ({error!r}).") from error
        if answer.status_code != 200:
            raise ScorerFailed(
                f"{self._client.base_url}/info answered {answer.status_code}: {answer.text[:SHOWN]}; "
                "a service that asks for a key takes it from --key-variable."
            )
        found = answer.json()
        return found if isinstance(found, dict) else {}


def log_odds(relevance: float) -> float:
    """The log-odds of a relevance in [0, 1], limited to those that a JSON number can distinguish from 0 and 1."""
    if relevance >= 1.0:
        return LARGEST_LOG_ODDS
    return math.log(relevance) - math.log1p(-relevance) if relevance > 0.0 else -745.0


def _read(answer: Any, count: int) -> list[Scored]:
    found: dict[int, Scored] = {}
    for result in answer["results"]:
        trace, probes = result.get("reasoning") or {}, result.get("probes")
        read = None if probes is None else tuple((probe["tokens"], probe["log_odds"]) for probe in probes)
        score = log_odds(result["relevance_score"])
        found[result["index"]] = Scored(score, trace.get("text"), trace.get("status"), read)
    if sorted(found) != list(range(count)):
        raise ScorerFailed(f"The service answered for {len(found)} of {count} passages.")
    return [found[index] for index in range(count)]


def _seconds(header: str | None, attempt: int) -> float:
    return float(header) if header is not None and header.isdigit() else float(2**attempt)
