"""The sides of the vLLM benchmark as processes. A side that is not being measured is stopped."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from bench.vllm.peer_process import REPLY
from bench.vllm.settings import Side
from contract.formats.labels import Labels
from tests.ports import free_port
from tests.processes import ROOT, server
from tests.service.engines.vllm.serving import descendants, send

_LABELS = Labels()
_SCORE_TEMPLATE = (
    f"{_LABELS.preamble}{_LABELS.query_label} "
    '{{ (messages | selectattr("role", "eq", "query") | first).content }}'
    f"{_LABELS.passage_label} "
    '{{ (messages | selectattr("role", "eq", "document") | first).content }}'
    f"\n{_LABELS.open}{_LABELS.close}"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one call from text to scores; log-odds by passage, None where a peer had no result."""

    seconds: float
    log_odds: list[float | None]
    missing: int = 0


class Contestant(Protocol):
    """One side. A `budget` of None means direct mode."""

    pid: int

    def score(self, query: str, passages: Sequence[str], budget: int | None) -> Measured: ...


@dataclass
class Service:
    """Our service over HTTP."""

    url: str
    pid: int

    def score(self, query: str, passages: Sequence[str], budget: int | None) -> Measured:
        body: dict[str, Any] = {"query": query, "documents": list(passages), "mode": "direct"}
        if budget is not None:
            body |= {"mode": "reasoning", "max_reasoning_tokens": budget}
        return _rerank(self.url, body)


@dataclass
class Classifier:
    """vLLM's own `/rerank`, with the same weights as a classifier: one forward pass, no reasoning."""

    url: str
    pid: int

    def score(self, query: str, passages: Sequence[str], budget: int | None) -> Measured:
        assert budget is None
        return _rerank(self.url, {"query": query, "documents": list(passages)})


@dataclass
class Offline:
    """`LLM.generate`, or Rank1's procedure when there is a budget."""

    process: subprocess.Popen[str]
    pid: int

    def score(self, query: str, passages: Sequence[str], budget: int | None) -> Measured:
        asked: dict[str, Any] = {"do": "generate", "query": query, "passages": list(passages)}
        if budget is not None:
            asked |= {"do": "rank1", "budget": budget}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        reply = self.reply()
        return Measured(reply["seconds"], reply["log_odds"], reply["missing"])

    def reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(REPLY):
                found: dict[str, Any] = json.loads(line.removeprefix(REPLY))
                return found
        raise RuntimeError(f"the offline peer ended with {self.process.wait()}; its log says why")


@contextmanager
def service(side: Side, folder: Path, environment: dict[str, str]) -> Iterator[Service]:
    (folder / "service").mkdir()
    flags = side.service_flags()
    with server("service.main", free_port(), folder / "service", *flags, **environment) as running:
        yield Service(running.url, running.process.pid)
        running.stop(60)


@contextmanager
def offline(side: Side, folder: Path, environment: dict[str, str]) -> Iterator[Offline]:
    command = [sys.executable, "-m", "bench.vllm.peer_process", json.dumps(side.arguments())]
    with (folder / "offline.log").open("w") as log, ExitStack() as stack:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment | {"VLLM_LOGGING_STREAM": "ext://sys.stderr"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        stack.callback(_end, process)
        peer = Offline(process, process.pid)
        peer.reply()
        yield peer


@contextmanager
def classifier(side: Side, folder: Path, environment: dict[str, str]) -> Iterator[Classifier]:
    template, port = folder / "score.jinja", free_port()
    template.write_text(_SCORE_TEMPLATE)
    architecture = json.loads((Path(side.model) / "config.json").read_text())["architectures"][0]
    overrides = {
        "architectures": [architecture.replace("ForCausalLM", "ForSequenceClassification")],
        "classifier_from_token": ["\u0120false", "\u0120true"],
        "method": "from_2_way_softmax",
    }
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", side.model, "--runner", "pooling"),
        *("--port", str(port), "--hf-overrides", json.dumps(overrides), "--chat-template", str(template)),
        *side.vllm_flags(),
    ]
    with (folder / "classifier.log").open("w") as log, ExitStack() as stack:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log, text=True)
        stack.callback(_end, process)
        _wait(f"http://127.0.0.1:{port}/health", process, Path(log.name))
        yield Classifier(f"http://127.0.0.1:{port}", process.pid)


@contextmanager
def running(side: Contestant) -> Iterator[None]:
    """Resumes a stopped side for the time of the block."""
    resume(side)
    try:
        yield
    finally:
        pause(side)


def pause(side: Contestant) -> None:
    """Stops a side: vLLM's idle processes poll for work, which would slow down the side that is measured."""
    for pid in (side.pid, *descendants(side.pid)):
        os.kill(pid, signal.SIGSTOP)


def resume(side: Contestant) -> None:
    for pid in (*reversed(descendants(side.pid)), side.pid):
        os.kill(pid, signal.SIGCONT)


def _rerank(url: str, body: dict[str, Any]) -> Measured:
    start = time.perf_counter()
    answer = httpx.post(f"{url}/rerank", json=body, timeout=900)
    seconds = time.perf_counter() - start
    answer.raise_for_status()
    odds: list[float | None] = [None] * len(body["documents"])
    for result in answer.json()["results"]:
        score = result["relevance_score"]
        odds[result["index"]] = math.log(score / (1 - score))
    return Measured(seconds, odds)


def _wait(url: str, process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise RuntimeError(f"{url} did not answer")


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the process and its engine, which survives a termination of the process and holds gigabytes."""
    children = [process.pid, *descendants(process.pid)]
    send(signal.SIGCONT, children)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(60)
    send(signal.SIGKILL, children)
