"""The vLLM engine in a process of its own, and prompts for it: what no body of the HTTP interface can ask for.

Reads a JSON list of prompts per line, submits them together, and answers with a line that begins with `REPLY `: the
pieces of each one's reasoning, and its completion.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.engine import Begun, Completion, Engine, PartialOutput, Prompt
from service.models.checkpoint import open_checkpoint
from tests.processes import ROOT, clean_environment
from tests.service.engines.vllm.serving import ENGINE_ARGS, ENVIRONMENT, SCRIPTED, SEATS, STEP_TOKENS, descendants, send

_REPLY = "REPLY "


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
    """The other end of `main`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def submit(self, *prompts: Asked) -> list[Outputs]:
        """The outputs of prompts that are submitted together, in their order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([asdict(prompt) for prompt in prompts]) + "\n")
        self._process.stdin.flush()
        return [Outputs(**outputs) for outputs in self.reply()]

    def reply(self) -> list[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_REPLY):
                found: list[dict[str, Any]] = json.loads(line.removeprefix(_REPLY))
                return found
        raise AssertionError(f"the engine's process has ended with {self._process.wait()}")


@contextmanager
def engine_process(model: Path) -> Iterator[EngineProcess]:
    """A vLLM in float32 that writes the scripts of `scripted_traces`, until the block is left."""
    command = [sys.executable, "-m", "tests.service.engines.vllm.engine_process", str(model)]
    environment = clean_environment(**(ENVIRONMENT | {"VLLM_CPU_KVCACHE_SPACE": "1"}))
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            running = EngineProcess(process)
            running.reply()  # it is ready
            yield running
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)
        finally:
            send(signal.SIGKILL, descendants(process.pid))
            process.kill()


def main() -> None:
    asyncio.run(_serve(Path(sys.argv[1])))


async def _serve(folder: Path) -> None:
    from service.engines.vllm import client
    from service.engines.vllm.startup import VllmOptions, quiet_environment

    quiet_environment()
    options = VllmOptions(
        dtype="float32",
        max_model_len=2048,
        max_num_batched_tokens=STEP_TOKENS,
        max_num_seqs=SEATS,
        extra=ENGINE_ARGS | SCRIPTED,
    )
    engine = client.load(open_checkpoint(folder, "tests"), options)
    _reply([])
    while line := await asyncio.to_thread(sys.stdin.readline):
        _reply([asdict(outputs) for outputs in await _submit(engine, json.loads(line))])
    await engine.close()


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


def _reply(reply: list[dict[str, Any]]) -> None:
    sys.stdout.write(f"{_REPLY}{json.dumps(reply)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
