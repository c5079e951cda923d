"""The use case: one rerank call becomes a job for the engine, and its verdicts become an ordered ranking."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.verdict import relevance
from service.engine import Capabilities, Job, Mode, Status, Verdict
from service.errors import BadRequest, ServiceError
from service.ranking import Key, Progress, Ranked, Ranking, Reasoning, RerankCall, Timings
from service.scheduling.admission import Admission
from service.scheduling.encoding_times import EncodingTimes
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.window import Answer, Work
from service.telemetry.metrics import Metrics

# Estimates for admission only, exact counts come back with the verdicts. English has 4 to 5 characters a token in
# every tokenizer tried; what surrounds query and passage is about 35 tokens.
_CHARACTERS_PER_TOKEN = 4
_FIXED_TOKENS = 35
_DEFAULT_PRIORITY = 1


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call gets when it does not ask, and the most it may ask for. Times in seconds."""

    model: str
    mode: Mode
    reasoning_tokens: int
    most_reasoning_tokens: int
    tokens_per_doc: int | None
    timeout: float


class Reranker:
    """Answers rerank calls. One for the process."""

    def __init__(
        self,
        admission: Admission,
        capabilities: Capabilities,
        defaults: Defaults,
        limiter: RateLimiter,
        metrics: Metrics,
        encoding: EncodingTimes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admission = admission
        self._capabilities = capabilities
        self._defaults = defaults
        self._limiter = limiter
        self._metrics = metrics
        self._encoding = encoding
        self._clock = clock

    async def rank(
        self, call: RerankCall, *, key: Key, received: float, timeout_ms: int | None, progress: Progress
    ) -> Ranking:
        """Rank a call's documents. `received` is the monotonic instant of the last body byte.

        Raises the errors of `service.errors`; cancelling the task frees the engine.
        """
        work = self._work(call, key, received, timeout_ms, progress)
        self._limiter.take(key, len(call.passages))
        try:
            with self._encoding.watch(work.job.call) as encoding_seconds:
                answer = await self._admission.score(work)
                timings = self._timings(received, answer.begun, encoding_seconds())
        except ServiceError:
            if not progress.begun:
                self._limiter.give_back(key, len(call.passages))
            raise
        self._observe(work, answer, timings)
        return self._ranking(call, answer.verdicts, timings)

    def _timings(self, received: float, begun: float, encoding: float) -> Timings:
        done = self._clock()
        return Timings(
            total=(done - received) * 1000,
            queue=(begun - received) * 1000,
            tokenize=encoding * 1000,
            inference=(done - begun) * 1000,
        )

    def _work(self, call: RerankCall, key: Key, received: float, timeout_ms: int | None, progress: Progress) -> Work:
        mode = self._mode(call)
        budget = self._budget(call, mode)
        timeout = self._defaults.timeout if timeout_ms is None else min(timeout_ms / 1000, self._defaults.timeout)
        job = Job(
            call=uuid.uuid4().hex,
            query=call.query,
            passages=call.passages,
            instruction=call.instruction,
            priority=max(key.priority, _DEFAULT_PRIORITY if call.priority is None else call.priority),
            passage_tokens=call.max_tokens_per_doc or self._defaults.tokens_per_doc,
            truncate=call.truncate,
            cut_left=call.cut_left,
        )
        return Work(job, mode, budget, received + timeout, self._costs(job, budget), progress)

    def _mode(self, call: RerankCall) -> Mode:
        mode = call.mode or self._defaults.mode
        if mode not in self._capabilities.modes:
            able = ", ".join(sorted(self._capabilities.modes))
            raise BadRequest(f"mode {mode.value!r} is not available with this model; it has {able}.", field="mode")
        return mode

    def _budget(self, call: RerankCall, mode: Mode) -> int:
        if mode is Mode.DIRECT:
            return 0
        wanted = call.max_reasoning_tokens
        return min(self._defaults.reasoning_tokens if wanted is None else wanted, self._defaults.most_reasoning_tokens)

    def _costs(self, job: Job, budget: int) -> tuple[float, ...]:
        most = min(job.passage_tokens or self._capabilities.max_model_tokens, self._capabilities.max_model_tokens)
        shared = (len(job.query) + len(job.instruction or "")) // _CHARACTERS_PER_TOKEN + _FIXED_TOKENS
        each = budget + shared / len(job.passages)
        return tuple(min(len(passage) / _CHARACTERS_PER_TOKEN + 1, most) + each for passage in job.passages)

    def _ranking(self, call: RerankCall, verdicts: Sequence[Verdict], timings: Timings) -> Ranking:
        ordered = sorted(verdicts, key=lambda verdict: (-verdict.log_odds, verdict.index))
        return Ranking(
            id=uuid.uuid4().hex,
            model=self._defaults.model,
            results=tuple(_ranked(verdict, call.return_reasoning) for verdict in ordered[: call.top_n or None]),
            prompt_tokens=sum(verdict.prompt_tokens for verdict in verdicts),
            cached_tokens=sum(verdict.cached_tokens for verdict in verdicts),
            reasoning_tokens=sum(verdict.reasoning_tokens for verdict in verdicts),
            timings=timings,
            warnings=_warnings(call, verdicts),
        )

    def _observe(self, work: Work, answer: Answer, timings: Timings) -> None:
        blank = sum(1 for passage in work.job.passages if not passage.strip())
        self._metrics.observe_answer(work.mode, answer.verdicts, blank, timings)


def _ranked(verdict: Verdict, with_reasoning: bool) -> Ranked:
    reasoning = Reasoning(verdict.trace or "", verdict.status, verdict.reasoning_tokens) if with_reasoning else None
    return Ranked(verdict.index, verdict.log_odds, relevance(verdict.log_odds), verdict.status, reasoning)


def _warnings(call: RerankCall, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    warnings = []
    if cut := [verdict.index for verdict in verdicts if verdict.truncated]:
        warnings.append(f"{len(cut)} of {len(verdicts)} documents were truncated: {_listed(cut)}.")
    if blank := [index for index, passage in enumerate(call.passages) if not passage.strip()]:
        warnings.append(f"{len(blank)} of {len(verdicts)} documents are blank: {_listed(blank)}.")
    ends = Counter(verdict.status for verdict in verdicts if verdict.status is not Status.COMPLETE)
    return (*warnings, *(f"{n} of {len(verdicts)} traces ended by {end.value}." for end, n in sorted(ends.items())))


def _listed(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:20]))
    return shown if len(indices) <= 20 else f"{shown} and {len(indices) - 20} more"
