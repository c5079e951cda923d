"""The seam between the service and its engines: token ids go in, log-probabilities of answer tokens come out.

Text is encoded at the door by an `Encoder`, and an engine sees `Prompt`s. Which calls these belong to, whose turn it is
and what a log-probability means are the service's business: an engine takes the prompts that it is handed in their
order, forms batches of them, and never holds more than its `Capabilities` say. Knows no model library.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from prometheus_client import CollectorRegistry

from contract.prompt import Behind
from contract.reasoning import Status
from contract.verdict import Reading

NO_IDS: Sequence[int] = ()


def ids_of(numbers: Sequence[int]) -> array[int]:
    """Token ids at 4 bytes each: a queue of 20 million tokens is 80 MB."""
    return array("I", numbers)


class Scoring(StrEnum):
    """How one document is scored: `direct` reads the answer at once, `reasoning` after reasoning that is written first.

    How a whole call is ranked is `service.ranking.Mode`.
    """

    DIRECT = "direct"
    REASONING = "reasoning"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One document to be scored: its ids are `prefix` + `rest` + `written`.

    `call` names the call it belongs to. `prefix` are the ids that all prompts of the call share, one object for all of
    them, and an engine may keep what it computed of them; `rest` those behind them.
    `written` is reasoning that was written before and that this prompt continues (`Completion.written`).
    `budget` is the most reasoning tokens to write now; with 0 the answers are read at once. Where reasoning, written
    or continued, lacks its end-of-think tag (also in direct scoring, where there is none of it), the engine puts the
    format's tag before it reads the answers: neither `rest` nor `written` holds one that the model did not write.
    `answers` are the token ids whose log-probabilities are asked for; () for a cross-encoder, whose one output it is.
    `second`: from this place on the ids have token type 1 (cross-encoders; None: the model has no types).
    `priority`: 0 is handled first, 2 last. `deadline` and `arrived` are `time.monotonic()` instants; reasoning is ended
    in time to answer by the deadline, in direct scoring the caller watches it.
    `stream`: yield pieces of the reasoning as they are written. `behind`: ids put after the end of the reasoning,
    before the answers are read. `first`: of a call so small that the service's queue puts it before larger ones, and of
    no lower class than others; an engine that serves what it holds in order begins it before those that are not.
    """

    call: str
    prefix: Sequence[int]
    rest: Sequence[int]
    answers: tuple[int, ...] = ()
    budget: int = 0
    written: Sequence[int] = NO_IDS
    second: int | None = None
    priority: int = 1
    deadline: float | None = None
    arrived: float = field(default_factory=time.monotonic)
    stream: bool = False
    behind: tuple[int, ...] = ()
    first: bool = False

    @property
    def tokens(self) -> int:
        """Of the whole prompt, written reasoning left out: what usage counts."""
        return len(self.prefix) + len(self.rest)

    @property
    def scoring(self) -> Scoring:
        return Scoring.REASONING if self.budget else Scoring.DIRECT


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer for one prompt. `index` is its place among those submitted together.

    `answers`: the log-probability of each of `Prompt.answers` (its logit where the encoder's `reading` asks for
    logits), or a cross-encoder's one logit. `mass`: the probability of all of them together, None where there is none.
    `reasoning` is None where none was asked for or continued; `reasoning_tokens` counts all of it, also what the prompt
    continued. `written`: ids of the reasoning as far as the model wrote it, with its end-of-think tag where it wrote
    one; a prompt can go on from there.
    `cached_tokens` counts those of the prefix that were not computed for this prompt.
    """

    index: int
    answers: tuple[float, ...]
    mass: float | None = None
    status: Status = Status.COMPLETE
    reasoning: str | None = None
    reasoning_tokens: int = 0
    written: Sequence[int] = NO_IDS
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is computed and its reasoning begins: its tokens take no room in the engine's batches any more.

    Yielded at most once for a prompt with a budget, before its pieces and its completion. In direct scoring the
    completion itself says so.
    """

    index: int


@dataclass(frozen=True, slots=True)
class PartialOutput:
    """A piece of reasoning, as it came; all pieces of a prompt joined are its reasoning. `tokens`: written so far."""

    index: int
    text: str
    tokens: int


Output = Completion | Begun | PartialOutput


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; fixed once it is built.

    `window`: documents that it may hold. `window_tokens`: prompt tokens that it may hold and has not computed yet; as
    many as keep it busy and no more, since what it holds is served in order. `behind_tokens`: the same for calls that
    have had their first share while another that is new waits or runs. `max_*` in tokens. `positions`: tokens
    whose places the model can tell (0: as many as are served). `random_weights`: the weights are no trained ones, so
    verdicts mean nothing and may all be the same. `kept_tokens`: of a prompt it keeps what it computed of `prefix`, if
    that is no longer, and nothing else; 0: it keeps what it has room for.
    """

    engine: str  # "transformers", "vllm", "cross-encoder"
    engine_version: str
    dtype: str
    device: str
    scoring: frozenset[Scoring]
    window: int
    window_tokens: int
    behind_tokens: int
    max_model_tokens: int
    max_reasoning_tokens: int
    positions: int = 0
    random_weights: bool = False
    kept_tokens: int = 0

    @property
    def room(self) -> int:
        """The positions that the model has, whatever number of them is served."""
        return max(self.positions, self.max_model_tokens)


@dataclass(frozen=True, slots=True)
class Health:
    """`ready` False: no traffic. `alive` False: the process is beyond recovery and should be restarted."""

    ready: bool
    alive: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A registry in which an engine keeps series of its own for the metrics page, and how the names of those begin."""

    registry: CollectorRegistry
    prefix: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How passages of a call are fitted. `budget`: reasoning tokens for which room is left behind each.

    `passage_tokens` cuts each passage to that many tokens at most (None: only the model's own limit cuts).
    `truncate` False: a passage that does not fit is an error (`PassageTooLong`) and not a cut.
    `cut_left`: drop the beginning of a passage and keep its end (TEI's truncation_direction "Left").
    """

    budget: int = 0
    passage_tokens: int | None = None
    truncate: bool = True
    cut_left: bool = False


@dataclass(frozen=True, slots=True)
class Prefix:
    """The ids that all prompts of a call begin with. `room`: tokens that the model has left for a passage beside them;
    `second`: see `Prompt`; `behind`: what stands around a passage, where that depends on the call."""

    ids: Sequence[int]
    room: int
    second: int | None = None
    behind: Behind | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """The ids of one passage and what stands behind it; `truncated`: the passage was cut to fit."""

    ids: Sequence[int]
    truncated: bool


class Encoder(Protocol):
    """Turns a call's text into ids, for one model. All methods may be called from several threads."""

    @property
    def answers(self) -> tuple[int, ...]:
        """`Prompt.answers` of every prompt: (true, false), or () for a cross-encoder."""
        ...

    @property
    def reading(self) -> Reading:
        """How answers become a score."""
        ...

    def least_tokens(self, texts: Sequence[str], longest: int) -> int:
        """How many tokens texts have at least, in all; each counts as `longest` at most. Looks at a bounded number of
        characters of each."""
        ...

    def token_ends(self, text: str) -> Sequence[int]:
        """For each token of a text alone the code point behind it, none before an earlier one's. Text that the prompt
        would guard is read as it stands: good for counting, and for where to cut."""
        ...

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        """Raise FixedPartsTooLong where it leaves no room for a passage beside `budget` tokens of reasoning; a text
        that is far too long is refused without being encoded."""
        ...

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        """Each passage, cut to what fits behind `prefix` and to `limits.passage_tokens`. `limits.truncate` is the
        caller's to act on."""
        ...


class Engine(Protocol):
    """A scoring engine. All methods run on the event loop and never block it."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def encoder(self) -> Encoder:
        """Makes prompts for the model that this engine runs."""
        ...

    @property
    def metrics(self) -> Sequence[Series]:
        """Series of its own; () where it has none."""
        ...

    def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        """Yield one `Completion` for each prompt, in any order, as they come.

        For prompts with a budget also `Begun`, and `PartialOutput`s where `Prompt.stream` asks for them. The prompts
        are of one call. Closing the generator (or cancelling the task that runs it) frees the work.
        Raises `EngineFailed` with the indices of prompts that it could not score, after the completions of the others;
        `EngineDead` when nothing can be scored any more.
        """
        ...

    async def health(self) -> Health: ...

    async def close(self) -> None: ...
