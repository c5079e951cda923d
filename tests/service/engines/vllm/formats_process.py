"""One vLLM for several formats: a process that asks the same running engine in the prompts of one after another.

An engine sees token ids, so it serves every format whose ids its model has. Reads a JSON object per line and answers
with a line that begins with `REPLY `.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import ROOT, clean_environment
from tests.service.engines.vllm.serving import ENGINE_ARGS, SEATS, STEP_TOKENS, descendants, send
from tests.service.engines.vllm.warm_vllm import ENVIRONMENT, WarmVllm

_REPLY = "REPLY "


class FormatsProcess:
    """The other end of `main`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **asked: Any) -> list[dict[str, Any]]:
        """Raw score, relevance, mass and written ids of each document. `format`, `tokenizer`: names; `query`,
        `documents`, `instruction`, `budget`: the call's."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> list[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_REPLY):
                reply: list[dict[str, Any]] = json.loads(line.removeprefix(_REPLY))
                return reply
        raise AssertionError(f"the engine's process ended with {self._process.wait()}")


@contextmanager
def formats_process(folder: Path, own: str, log: Path, *, logits: bool) -> Iterator[FormatsProcess]:
    """`own`: a format that the model's tokenizer fits. `logits`: start the engine as formats of one word have it."""
    command = [sys.executable, "-m", __name__, str(folder), own, "logits" if logits else "probabilities"]
    with log.open("w") as errors:
        process = WarmVllm(
            command,
            cwd=ROOT,
            env=clean_environment(**ENVIRONMENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    running = FormatsProcess(process)
    try:
        running.read()
        yield running
    finally:
        children = descendants(process.pid)
        process.kill()
        send(signal.SIGKILL, children)  # they hold its output, whose end is waited for
        process.communicate()


async def _serve(folder: Path, own: str, *, logits: bool) -> None:
    from contract.formats.named import NAMED_FORMATS
    from contract.reasoning import Reader, end_ids
    from contract.segments import Segments
    from service.engine import Engine
    from service.engines.causal.several_reads import SeveralReads
    from service.engines.vllm import client, startup
    from service.engines.vllm.engine import VllmEngine
    from service.engines.vllm.startup import VllmOptions
    from service.models.checkpoint import open_checkpoint
    from tests.contract.formats.references import tokenizer_named
    from tests.seam import Job, completions, prompts_of

    options = VllmOptions(
        dtype="float32",
        max_model_len=2048,
        max_num_batched_tokens=STEP_TOKENS,
        max_num_seqs=SEATS,
    )
    checkpoint = open_checkpoint(folder, "tiny", prompt_format=own)
    extra = startup.with_exact_answers(ENGINE_ARGS, quantised=False)
    llm = client._start(checkpoint, options, runner="generate", extra=extra, logits=logits)
    print(_REPLY + "[]", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        segments = Segments(NAMED_FORMATS[asked["format"]], tokenizer_named(asked["tokenizer"]))
        assert segments.reading.logits is logits
        reader = Reader(segments, end_ids(segments))
        engine: Engine = VllmEngine(
            client.VllmClient(llm, segments, reader), client._info(llm), segments, reader, stuck_after=60
        )
        if len(segments.reading.reads) > 1:
            engine = SeveralReads(engine)
        job = Job("call", asked["query"], tuple(asked["documents"]), asked["instruction"])
        found = await completions(engine, await prompts_of(engine, job, asked["budget"]))
        scored = [segments.reading.score(each.answers, 1.0) for each in found]
        reply = [
            {"raw": score.raw, "relevance": score.relevance, "mass": each.mass, "written": list(each.written)}
            for score, each in zip(scored, found, strict=True)
        ]
        print(_REPLY + json.dumps(reply), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], logits=sys.argv[3] == "logits"))
