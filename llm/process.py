"""A client process: questions arrive on standard input, replies leave on standard output, one JSON object per line.

The first line is the endpoint. `{"id": 1, "question": {...}}` is answered by `{"id": 1}` with one of `reply`,
`no_reply` and `failed`, in any order. The process ends with its input, so it never outlives the run that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llm.base import LLM, EndpointFailed, Finish, Message, NoReply, Question, Reply
from llm.endpoint import Endpoint
from llm.event_loop import new_event_loop
from llm.openai import OpenAILLM

LONGEST_LINE = 1 << 26  # bytes


def question_to_json(question: Question) -> dict[str, Any]:
    messages = [[message.role, message.content] for message in question.messages]
    return {"messages": messages, "name": question.schema_name, "schema": question.schema}


def question_from_json(value: Mapping[str, Any]) -> Question:
    messages = tuple(Message(role, content) for role, content in value["messages"])
    return Question(messages, value["name"], value["schema"])


async def answer(llm: LLM, question: Question) -> dict[str, Any]:
    """One of `reply`, `no_reply` and `failed` with what `read_answer` needs."""
    try:
        return {"reply": asdict(await llm.ask(question))}
    except NoReply as error:
        return {"no_reply": {"reason": error.reason, "raw": error.raw, "final": error.final}}
    except EndpointFailed as error:
        return {"failed": str(error)}


def read_answer(value: Mapping[str, Any]) -> Reply:
    """The reply in a result of `answer`. Raises the error that it states."""
    if "reply" in value:
        return reply_from_json(value["reply"])
    if "no_reply" in value:
        raise NoReply(**value["no_reply"])
    raise EndpointFailed(value["failed"])


def reply_from_json(value: Mapping[str, Any]) -> Reply:
    return Reply(**{**value, "finish": Finish(value["finish"])})


def main() -> None:
    """Serves one endpoint until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or supervisor signals all processes, but this one
        signal.signal(number, signal.SIG_IGN)  # ends with its input: the run decides when calls end
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve())


async def _serve() -> None:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    endpoint = Endpoint.model_validate_json(await reader.readline())
    llm = OpenAILLM(endpoint)
    slots = asyncio.Semaphore(endpoint.concurrency)
    at_work: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        asked = json.loads(line)
        task = asyncio.create_task(_answer(llm, slots, asked["id"], asked["question"]))
        at_work.add(task)
        task.add_done_callback(at_work.discard)
    os._exit(0)  # nobody reads replies to the questions in flight any more


async def _answer(llm: OpenAILLM, slots: asyncio.Semaphore, number: int, asked: Mapping[str, Any]) -> None:
    async with slots:
        said = await answer(llm, question_from_json(asked))
    sys.stdout.write(json.dumps({"id": number} | said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
