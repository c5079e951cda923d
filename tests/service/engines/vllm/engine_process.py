"""The real service on vLLM, whose engine can also be given prompts: what no body of the HTTP interface can ask for.

`python -m tests.service.engines.vllm.engine_process ...` is limrank-serve with a second door, the Unix socket that
LIMRANK_TEST_TAP names. It takes a JSON list of prompts per line, submits them together, and answers with a line: the
pieces of each one's reasoning, and its completion.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from service.engine import Begun, Completion, Engine, PartialOutput, Prompt
from tests.processes import ServerProcess
from tests.waiting import PATIENCE

TAP = "LIMRANK_TEST_TAP"
_LONGEST_LINE = 1 << 24


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as a test writes it down. The fields are those of `Prompt`."""

    prompt: Sequence[int]
    answers: Sequence[int]
    budget: int = 0
    written: Sequence[int] = ()
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Outputs:
    """What came of a prompt: its completion, and before it the pieces of its reasoning and how often it `begun`."""

    answers: list[float]
    mass: float
    status: str
    reasoning: str | None
    reasoning_tokens: int
    written: list[int]
    pieces: list[str]
    begun: int


class EngineProcess:
    """The other end of the socket."""

    def __init__(self, running: ServerProcess) -> None:
        self._socket = str(running.log.parent / "tap")

    def submit(self, *prompts: Asked) -> list[Outputs]:
        """The outputs of prompts that are submitted together, in their order."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self._socket)
            connection.sendall(json.dumps([asdict(prompt) for prompt in prompts]).encode() + b"\n")
            with connection.makefile("r") as answers:
                return [Outputs(**outputs) for outputs in json.loads(answers.readline())]


def main() -> None:
    program: Any = importlib.import_module("service.main")
    build_engine, serve, tap = program.build_engine, program._serve, os.environ.pop(TAP)
    built: list[Engine] = []

    def build_and_keep(*arguments: Any) -> Engine:
        built.append(build_engine(*arguments))
        return built[0]

    async def serve_with_tap(*arguments: Any) -> int:
        answer = partial(_answer, built[0])
        async with await asyncio.start_unix_server(answer, tap, limit=_LONGEST_LINE):
            code: int = await serve(*arguments)
            return code

    program.build_engine = build_and_keep
    program._serve = serve_with_tap
    program.main()


async def _answer(engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        outputs = await _submit(engine, json.loads(line))
        writer.write(json.dumps([asdict(each) for each in outputs]).encode() + b"\n")
    writer.close()


async def _submit(engine: Engine, asked: list[dict[str, Any]]) -> list[Outputs]:
    prompts = [_prompt(Asked(**each)) for each in asked]
    begun = [0] * len(prompts)
    pieces: list[list[str]] = [[] for _ in prompts]
    completions: dict[int, Completion] = {}
    async for output in engine.submit(prompts):
        if isinstance(output, Begun):
            begun[output.index] += 1
        elif isinstance(output, PartialOutput):
            pieces[output.index].append(output.text)
        else:
            completions[output.index] = output
    return [_outputs(completions[n], pieces[n], begun[n]) for n in range(len(prompts))]


def _prompt(asked: Asked) -> Prompt:
    return Prompt(
        call="tests",
        prefix=(),
        rest=asked.prompt,
        answers=tuple(asked.answers),
        budget=asked.budget,
        written=asked.written,
        stream=asked.stream,
    )


def _outputs(completion: Completion, pieces: list[str], begun: int) -> Outputs:
    assert completion.mass is not None
    return Outputs(
        answers=list(completion.answers),
        mass=completion.mass,
        status=completion.status.value,
        reasoning=completion.reasoning,
        reasoning_tokens=completion.reasoning_tokens,
        written=list(completion.written),
        pieces=pieces,
        begun=begun,
    )


if __name__ == "__main__":
    main()
