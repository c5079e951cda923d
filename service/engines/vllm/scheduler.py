"""Takes requests through vLLM: reasoning, then the answers after it, in time for their deadlines.

vLLM orders its requests by priority and arrival alone. The service's queue has decided the order before, and hands over
prompts for a few steps at a time. Prompts handed over together are submitted to vLLM together, so that one step
computes their prefix once for all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from contextvars import Context
from typing import Any

from contract.reasoning import PieceReader, Reader, Status
from contract.segments import Segments
from service.engine import Completion
from service.engines.causal.requests import Request
from service.engines.causal.speed import RequestPace
from service.engines.submission import Submission
from service.engines.vllm import deadlines
from service.engines.vllm.requests import AnswerLogprobs, Client, Generation, RunningRequest
from service.errors import EngineDead

_log = logging.getLogger("limrank.vllm_scheduler")
_DEADLINE_TICK_SECONDS = (0.02, 0.1)  # least and most; in between a twentieth of the remaining time
_ABORT_AGAIN_SECONDS = 0.05


class VllmScheduler:
    """Takes requests through vLLM on one event loop.

    `events` increases with everything that vLLM computes. `second_requests` counts answers that needed a request of
    their own after the reasoning; `recomputed` counts the prompt and reasoning tokens that these computed again.
    """

    def __init__(
        self,
        client: Client,
        segments: Segments,
        reader: Reader,
        *,
        block: int,
        ranks: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`block` is the number of tokens in one block of vLLM's cache, `ranks` the number of its replicas."""
        self._client = client
        self._segments = segments
        self._reader = reader
        self._answer_tokens = block + len(segments.closing)  # most that reading answers after reasoning computes
        self._ranks = ranks
        self._clock = clock
        self._running: dict[RunningRequest, None] = {}  # in order of arrival
        self._names = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._pace = RequestPace(clock)
        self.second_requests = 0
        self.recomputed = 0
        self.events = 0

    @property
    def unfinished(self) -> int:
        """Requests in vLLM."""
        return len(self._running)

    def add(self, requests: Sequence[Request]) -> None:
        """Submits the requests of one submission; those whose deadline leaves no time for reasoning are scored
        directly."""
        added = self._entered(requests)
        if self._timer is None and self._earliest_deadline() is not None:
            self._timer = asyncio.get_running_loop().create_task(self._meet_deadlines())
        self._end_what_is_due()
        for running in added:
            self._start(self._run(running), running.request.submission.context)

    def cancel(self, submission: Submission) -> None:
        """Drops the rest of a submission, also within vLLM."""
        submission.cancelled = True
        left = [running for running in self._running if running.request.submission is submission]
        for running in left:
            running.given_up = True
        self._abort_until_gone(left)

    def die(self, error: EngineDead) -> None:
        """Ends everything with `error`."""
        for running in self._running:
            running.given_up = True
            running.request.submission.die(error)
        for task in self._tasks:
            task.cancel()

    def _entered(self, requests: Sequence[Request]) -> list[RunningRequest]:
        """Registers the requests as running, each on the replica with the fewest."""
        calls = {running.request.prompt.call for running in self._running}
        loads = [0] * self._ranks
        for running in self._running:
            loads[running.rank or 0] += 1
        entered = []
        for request in requests:
            shared = 0 if request.prompt.call in calls else len(request.prefix)
            calls.add(request.prompt.call)
            rank = loads.index(min(loads))
            loads[rank] += 1
            tokens = shared + len(request.rest) + len(request.closing)
            placed = rank if self._ranks > 1 else None
            running = RunningRequest(request, f"{next(self._names)}", tokens, placed)
            self._running[running] = None
            entered.append(running)
        return entered

    async def _run(self, running: RunningRequest) -> None:
        request, submission = running.request, running.request.submission
        running.submitted = True
        try:
            if running.given_up:
                return
            completion = await self._reasoned(running) if request.budget else await self._direct(running)
            if completion is not None:
                submission.deliver([completion])
                self.events += 1  # not for given-up requests: they end here even if the engine is stuck
        except EngineDead as error:
            submission.die(error)
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises for a request fails that one only
            _log.error("request_failed", exc_info=error)
            submission.fail([request.index], f"{type(error).__name__}: {error}")
        finally:
            del self._running[running]

    async def _direct(self, running: RunningRequest) -> Completion | None:
        request = running.request
        answers = await self._read_answers(running, [*request.prefix, *request.rest, *request.closing])
        if answers is None:
            return None
        request.prefix_computed = max(0, len(request.prefix) - answers.cached)
        return request.completion(answers.values, answers.mass)

    async def _reasoned(self, running: RunningRequest) -> Completion | None:
        request = running.request
        before = () if request.continued is None else request.continued.written
        prompt = [*request.prefix, *request.rest]
        if request.prompt.stream:
            running.pieces = PieceReader(self._segments, request.continued.text if request.continued else "")
        generation = await self._write(running, prompt, before)
        if running.given_up:
            return None
        request.prefix_computed = max(0, len(request.prefix) - generation.cached)
        result = self._reader.read([*before, *generation.ids], running.ended_by)
        ids = result.ids[len(before) :]
        answers = generation.answers_after(ids) if result.status is Status.COMPLETE else None
        answers = answers or await self._ask_again(running, [*prompt, *ids])
        if answers is None:
            return None
        if running.pieces is not None:
            running.tell(running.pieces.last(result.text), result.tokens)
        return request.completion(answers.values, answers.mass, result)

    async def _ask_again(self, running: RunningRequest, ids: Sequence[int]) -> AnswerLogprobs | None:
        """Reads the answers in a second request; nearly all of its prompt is in vLLM's cache."""
        answers = await self._read_answers(running, ids)
        if answers is not None:
            self.second_requests += 1
            self.recomputed += len(ids) - answers.cached
        return answers

    async def _write(self, running: RunningRequest, prompt: Sequence[int], before: Sequence[int]) -> Generation:
        """Generates the reasoning to its end, or until a loop is complete. `before` is the reasoning that it
        continues."""
        generation, since = Generation((), 0), 0.0
        generations = self._client.write(running.reasoning_params(), prompt, running.request.budget, before)
        async with aclosing(generations):
            async for each in generations:
                now, seen = self._clock(), len(generation.ids)
                self._note_growth(running, len(each.ids) - seen, now - since)
                generation, since = each, now
                written = [*before, *each.ids]
                looped = self._reader.looped_at(written, len(before) + seen) if running.writing else None
                if looped is not None:
                    running.ended_by = Status.REPETITION
                    self._abort_until_gone([running])
                    async for _ in generations:
                        pass  # wait for its end, so that the answer request finds its blocks in the cache
                    return Generation(each.ids[: looped - len(before)], each.cached)
                if running.pieces is not None and not each.finished:
                    running.tell(running.pieces.next(written), len(written))
        return generation

    def _note_growth(self, running: RunningRequest, tokens: int, seconds: float) -> None:
        """Records that the reasoning grew by `tokens`; the first of them show that the prompt is computed."""
        self.events += tokens > 0
        if running.begun:
            self._pace.wrote(tokens, seconds)
        elif tokens:
            running.begun, running.uncomputed = True, 0
            running.request.submission.deliver([running.request.begun()])

    async def _read_answers(self, running: RunningRequest, ids: Sequence[int]) -> AnswerLogprobs | None:
        if running.given_up:
            return None
        running.answering = len(ids)
        self._pace.began()
        answers: AnswerLogprobs | None = None
        try:
            answers = await self._client.read_answers(running.answers_params(), ids)
        finally:
            self._pace.ended(0 if answers is None else len(ids) - answers.cached)
        return answers

    async def _meet_deadlines(self) -> None:
        """Ends reasoning that is due, and prevents reasoning that could not end in time."""
        least, most = _DEADLINE_TICK_SECONDS
        while (earliest := self._earliest_deadline()) is not None:
            self._end_what_is_due()
            await asyncio.sleep(max(least, min(most, (earliest - self._clock()) / 20)))
        self._timer = None

    def _earliest_deadline(self) -> float | None:
        """The earliest deadline of requests whose reasoning may still be ended."""
        writing = (running.request.deadline for running in self._running if running.writing)
        return min((deadline for deadline in writing if deadline is not None), default=None)

    def _end_what_is_due(self) -> None:
        ready = self._clock() + self._pace.entry_seconds
        due = deadlines.due(self._running, ready, self._pace.token_seconds, self._answer_tokens)
        for running in due:
            if running.submitted:
                running.ended_by = Status.DEADLINE
            else:
                running.request.end_before_reasoning(Status.DEADLINE)
        self._abort_until_gone([running for running in due if running.submitted])

    def _abort_until_gone(self, requests: Sequence[RunningRequest]) -> None:
        """Repeats the abort until the requests have ended: vLLM ignores one that arrives during submission."""
        if requests:
            self._start(self._keep_aborting(requests))

    async def _keep_aborting(self, requests: Sequence[RunningRequest]) -> None:
        while names := [name for each in requests if each in self._running for name in each.names_to_abort]:
            await self._client.abort(names)
            await asyncio.sleep(_ABORT_AGAIN_SECONDS)

    def _start(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
