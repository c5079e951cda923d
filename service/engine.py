"""What the service asks of a scoring engine. Knows no model library.

An engine scores passages against one query. The service never hands it more documents than `Capabilities.window`
at a time; which calls those documents belong to is the business of `admission`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Mode(StrEnum):
    """How a verdict is reached: `direct` reads it after an empty trace, `reasoning` after a written one."""

    DIRECT = "direct"
    REASONING = "reasoning"


class Status(StrEnum):
    """How a trace ended. Direct verdicts are always `complete`, save those made because a deadline was near."""

    COMPLETE = "complete"
    BUDGET = "budget"
    END_OF_TEXT = "end_of_text"
    REPETITION = "repetition"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Job:
    """Passages of one call to be scored against its query.

    `call` names the call the passages belong to: an engine takes documents of several calls round-robin by this
    name and may keep the shared prefix of a call between its jobs. `priority`: 0 is handled first, 2 last.
    `passage_tokens` cuts each passage to that many tokens at most (None: only the model's own limit cuts).
    `truncate` False means that a passage that does not fit is an error (`PassageTooLong`) and not a cut.
    """

    call: str
    query: str
    passages: tuple[str, ...]
    instruction: str | None = None
    priority: int = 1
    passage_tokens: int | None = None
    truncate: bool = True
    cut_left: bool = False  # TEI's truncation_direction "Left": drop the beginning of the passage, keep its end


# Tiny, and no caller's: what an engine is warmed up with and asked now and then whether it still works.
PROBE = Job(call="probe", query="what is a reranker", passages=("A reranker orders passages.",), priority=0)
# A call gains a class of priority for every so many seconds it has waited, so none starves.
AGEING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one passage. `index` is its position in `Job.passages`; `log_odds` = log p(true) - log p(false).

    `prompt_tokens` counts the whole prompt, `cached_tokens` those of it that were not computed again;
    `reasoning_tokens` the tokens of the trace. `trace` is None in direct mode.
    """

    index: int
    log_odds: float
    status: Status
    trace: str | None
    prompt_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; fixed once it is built. `window` is in documents, the others in tokens."""

    engine: str  # "transformers", "vllm", "cross-encoder"
    engine_version: str
    dtype: str
    device: str
    modes: frozenset[Mode]
    window: int
    max_model_tokens: int
    max_reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Health:
    """`ready` False: no traffic. `alive` False: the process is beyond recovery and should be restarted."""

    ready: bool
    alive: bool
    reason: str = ""


class Engine(Protocol):
    """A scoring engine. All methods run on the event loop and never block it."""

    @property
    def capabilities(self) -> Capabilities: ...

    def score(self, job: Job, mode: Mode, budget: int, deadline: float | None) -> AsyncGenerator[Verdict]:
        """Yield one verdict per passage, in any order, as they come.

        `budget` is the most trace tokens per passage (0 in direct mode). `deadline` is a `time.monotonic()` instant:
        in reasoning mode traces are closed in time to answer by it, in direct mode the caller watches it.
        Closing the generator (or cancelling the task that runs it) frees the work.
        Raises `EngineFailed` for a passage it cannot score, `EngineDead` when nothing can be scored any more,
        `FixedPartsTooLong` when query and instruction alone do not fit, `PassageTooLong` as `Job.truncate` says.
        """
        ...

    def observe(self, encoded: Callable[[str, float], None]) -> None:
        """From now on, call `encoded` with `Job.call` and the seconds it took to turn the job's text into ids.

        Once per job, from any thread, before the job's last verdict.
        """
        ...

    async def health(self) -> Health: ...

    async def close(self) -> None: ...
