"""Answers the questions of stages from the journal, otherwise from the endpoint, and journals the replies.

No call is repeated for a key, except when a kill interrupted it or the endpoint gave no reply. An unusable reply has
been paid for: it is journalled, and the question is asked again up to the endpoint's `replies`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llm.base import LLM, Finish, NoReply, Question, Reply, estimate_tokens
from llm.endpoint import Endpoint
from llm.replies import Unusable
from synth.errors import CommandError, DiskFull, EndpointFailed
from synth.llm.stage import Keys, Role, Row, Stage, Value
from synth.run.budget import Budget
from synth.run.folder import RunFolder
from synth.run.journal import JournalRow, Status
from synth.run.usable import UsableReplies

FAILURES_IN_A_ROW = 20


@dataclass
class _Asked:
    """One endpoint in use: its model, its slots for calls in flight, the number of consecutive calls without a reply,
    and whether it has ever replied. Before that, a refusal may be due to its settings rather than the question."""

    endpoint: Endpoint
    llm: LLM
    answered: bool
    failures: int = 0

    def __post_init__(self) -> None:
        self.slots = asyncio.Semaphore(self.endpoint.questions_at_once)


class Stopped(Exception):
    """No new calls are started; `Calls.stopped_by` has the reason."""


class Calls:
    """The `Asker` of a run. After an error that stops the run, calls in flight are still finished and journalled."""

    def __init__(self, folder: RunFolder, endpoints: Mapping[Role, tuple[Endpoint, LLM]], budget: Budget) -> None:
        self._folder = folder
        known = {line.model for line in folder.totals.lines() if line.status is Status.ACCEPTED}
        used = {id(llm): _Asked(endpoint, llm, endpoint.model in known) for endpoint, llm in endpoints.values()}
        self._asked = {role: used[id(llm)] for role, (_, llm) in endpoints.items()}
        self.units_at_once = 2 * sum(asked.endpoint.concurrency for asked in used.values())  # so that no slot is idle
        self._keys = Keys({role: endpoint for role, (endpoint, _) in endpoints.items()})
        self._budget = budget
        self._usable = UsableReplies(folder.totals.lines())
        self._in_flight: dict[str, asyncio.Task[JournalRow]] = {}
        self.stopped_by: CommandError | None = None
        self.made = 0
        self.settled = 0  # questions answered or given up, from the journal or by a call
        self.failed = 0  # calls without a reply; the next run repeats them

    def stop(self, reason: CommandError) -> None:
        """Starts no more calls. The first reason is kept."""
        self.stopped_by = self.stopped_by or reason

    async def finish(self) -> None:
        """Waits until the calls in flight are in the journal."""
        while self._in_flight:
            await asyncio.wait(self._in_flight.values())

    async def ask(self, stage: Stage[Row, Value], row: Row, input_id: str, vote: int = 1) -> Value | None:
        """See `Asker.ask`. Raises `Stopped` when a call is needed and none may begin."""
        key = self._keys.key(stage, row, vote)
        found = self._folder.find(key)
        while found is None or found.status in (Status.RETRY, Status.FAILED):
            found = await self._shared(stage, row, key, input_id, found.attempt if found else 0)
            if found.status is Status.FAILED:
                break
        self.settled += 1
        return value_of(stage, found)

    async def _shared(self, stage: Stage[Row, Value], row: Row, key: str, input_id: str, attempts: int) -> JournalRow:
        """Makes one call in one task, however many callers wait for it; an error in a sibling does not cancel it."""
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.create_task(self._call(stage, row, key, input_id, attempts))
            self._in_flight[key] = task
            task.add_done_callback(lambda _: self._in_flight.pop(key))
        return await asyncio.shield(task)

    async def _call(self, stage: Stage[Row, Value], row: Row, key: str, input_id: str, attempts: int) -> JournalRow:
        asked = self._asked[stage.role]
        async with asked.slots:
            self._check_room()
            question = stage.question(row)
            try:
                reply = await self._pay_for(asked, question)
            except (CommandError, NoReply) as error:
                if isinstance(error, CommandError):
                    self.stop(error)
                    raise Stopped from None
                status = Status.REJECTED if error.final and asked.answered else Status.FAILED
                reply, reason = Reply(error.raw, "", Finish.BROKEN, 0, 0, 0.0), error.reason
                if status is Status.FAILED:
                    self._count_failure(asked, reason)
            else:
                status, reason = _outcome(stage, reply, attempts + 1 < asked.endpoint.replies)
                if reply.finish is not Finish.BROKEN:
                    asked.answered, asked.failures = True, 0
                elif not asked.answered:
                    status = Status.FAILED
                    self._count_failure(asked, reason)
                attempts += status is not Status.FAILED
            if unusable := self._usable.count(stage.name, stage.role, asked.endpoint, status, reason):
                self.stop(unusable)
        written = _row(stage, key, attempts, input_id, asked.endpoint, reply, status, reason)
        self._write(written)
        return written

    def _check_room(self) -> None:
        if self._folder.full:
            self.stop(DiskFull(f"No space left in {self._folder.path}; all replies are kept. Free some and run again."))
        if self.stopped_by:
            raise Stopped

    async def _pay_for(self, asked: _Asked, question: Question) -> Reply:
        most = asked.endpoint.cost(estimate_tokens(question), asked.endpoint.max_tokens)
        await self._budget.set_aside(most)
        cost = 0.0
        try:
            if self.stopped_by:
                raise Stopped
            self.made += 1
            reply = _with_usage(await asked.llm.ask(question), question, asked.endpoint)
            cost = asked.endpoint.cost(reply.prompt_tokens, reply.completion_tokens)
            return reply
        finally:
            self._budget.pay(most, cost)

    def _count_failure(self, asked: _Asked, reason: str) -> None:
        asked.failures += 1
        self.failed += 1
        if asked.failures >= FAILURES_IN_A_ROW:
            self.stop(
                EndpointFailed(
                    f"{asked.endpoint.base_url} gave no reply to {asked.failures} calls in a row (the last: "
                    f"{reason}); run again when it answers, or with other settings."
                )
            )

    def _write(self, row: JournalRow) -> None:
        try:
            self._folder.append(row)
        except DiskFull as error:
            self.stop(error)
            raise Stopped from None


class CachedAsker:
    """An `Asker` that makes no calls: it returns None for an answer that the journal lacks."""

    def __init__(self, folder: RunFolder, endpoints: Mapping[Role, Endpoint]) -> None:
        self._folder = folder
        self._keys = Keys(endpoints)

    async def ask(self, stage: Stage[Row, Value], row: Row, input_id: str, vote: int = 1) -> Value | None:
        """See `Asker.ask`; the id is ignored."""
        return self.known(stage, row, vote)

    def known(self, stage: Stage[Row, Value], row: Row, vote: int = 1) -> Value | None:
        """The same, synchronously."""
        found = self._folder.find(self._keys.key(stage, row, vote))
        return None if found is None else value_of(stage, found)


def value_of(stage: Stage[Row, Value], row: JournalRow) -> Value | None:
    """The value of an accepted row; None for any other, or if the stage has become stricter since."""
    if row.status is not Status.ACCEPTED:
        return None
    reply = Reply(row.reply, row.reasoning, Finish.STOP, row.prompt_tokens, row.completion_tokens, row.seconds)
    try:
        return stage.read(reply)
    except Unusable:
        return None


def _with_usage(reply: Reply, question: Question, endpoint: Endpoint) -> Reply:
    """The reply with estimated token counts if tokens have a price and the endpoint states none, because the budget
    must count them."""
    if not endpoint.priced or reply.prompt_tokens or reply.completion_tokens:
        return reply
    written = len((reply.text + reply.reasoning).encode("utf-8", "replace")) // 3 + 1
    return replace(reply, prompt_tokens=estimate_tokens(question), completion_tokens=min(written, endpoint.max_tokens))


def _outcome(stage: Stage[Row, Value], reply: Reply, may_ask_again: bool) -> tuple[Status, str]:
    try:
        stage.read(reply)
    except Unusable as error:
        return (Status.RETRY if may_ask_again and error.again else Status.REJECTED), error.reason
    return Status.ACCEPTED, ""


def _row(
    stage: Stage[Row, Value],
    key: str,
    attempt: int,
    input_id: str,
    endpoint: Endpoint,
    reply: Reply,
    status: Status,
    reason: str,
) -> JournalRow:
    return JournalRow(
        stage=stage.name,
        key=key,
        attempt=attempt,
        input_id=input_id,
        model=endpoint.model,
        reply=reply.text,
        reasoning=reply.reasoning,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost=endpoint.cost(reply.prompt_tokens, reply.completion_tokens),
        status=status,
        reason=reason,
        at=round(time.time(), 3),
        seconds=round(reply.seconds, 3),
    )
