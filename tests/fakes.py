"""The fakes of this suite: engines whose answers are scripted. Everything else in the tests is the real thing."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from contract.reasoning import Status
from contract.verdict import OUTPUT, Reading
from service.engine import Capabilities, Completion, Health, Limits, Output, Prefix, Prompt, Rest, Scoring, Series
from service.errors import EngineDead, EngineFailed

REASONING = "It answers the question."
_PREFIX_TOKENS, _REST_TOKENS = 30, 20  # at least
_TOKEN_BYTES = 4
_FILLER = b"\xff"  # stands in no UTF-8 text


def by_word_overlap(query: str, passage: str) -> float:
    """Log-odds that grow with the words a passage shares with the query: an order a person can predict."""
    shared = set(query.lower().split()) & set(passage.lower().split())
    return float(len(shared)) - 1.0


def ids_of_text(text: str, at_least: int = 0) -> array[int]:
    """Four bytes of text are a token, which `text_of` can turn back."""
    content = text.encode("utf-8", "surrogatepass")
    content += _FILLER * (-len(content) % _TOKEN_BYTES)
    content += _FILLER * _TOKEN_BYTES * (at_least - len(content) // _TOKEN_BYTES)
    ids = array("I")
    ids.frombytes(content)
    return ids


def text_of(ids: Sequence[int]) -> str:
    return array("I", ids).tobytes().rstrip(_FILLER).decode("utf-8", "surrogatepass")


@dataclass
class ScriptedEncoder:
    """A tokenizer whose ids can be read as text again, so that tests script by text. Cuts nothing.

    `seconds` is the time that each part takes in its thread. Keeps the limits it was given, the queries and how many
    passages each part had.
    """

    seconds: float = 0.0
    max_tokens: int = 10**9
    answers: tuple[int, ...] = (1, 2)
    limits: list[Limits] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)

    def least_tokens(self, texts: Sequence[str], longest: int) -> int:
        return sum(min(len(text) // 16, longest) for text in texts)

    def token_ends(self, text: str) -> Sequence[int]:
        """Four characters are a token here; of ASCII, as many as `ids_of_text` makes."""
        return [*range(_TOKEN_BYTES, len(text), _TOKEN_BYTES), *([len(text)] if text else [])]

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        self.queries.append(query)
        asked = query if instruction is None else f"{query} {instruction}"
        ids = ids_of_text(asked, _PREFIX_TOKENS)
        return Prefix(ids, self.max_tokens - len(ids) - budget)

    @property
    def reading(self) -> Reading:
        return OUTPUT

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        self.limits.append(limits)
        self.parts.append(len(passages))
        if self.seconds:
            time.sleep(self.seconds)
        return [Rest(ids_of_text(passage, _REST_TOKENS), truncated=False) for passage in passages]


@dataclass(frozen=True)
class ScriptedJob:
    """Prompts that were submitted together, as text again."""

    call: str
    query: str  # and instruction
    passages: tuple[str, ...]
    prompts: tuple[Prompt, ...]

    @classmethod
    def of(cls, prompts: Sequence[Prompt]) -> ScriptedJob:
        query, passages = text_of(prompts[0].prefix), tuple(text_of(prompt.rest) for prompt in prompts)
        return cls(prompts[0].call, query, passages, tuple(prompts))

    @property
    def priority(self) -> int:
        return self.prompts[0].priority

    @property
    def scoring(self) -> Scoring:
        return self.prompts[0].scoring

    @property
    def budget(self) -> int:
        return self.prompts[0].budget


@dataclass
class ScriptedEngine:
    """Answers by `log_odds(query and instruction, passage)`, each passage after `seconds`; keeps what it was asked.

    A passage in `fail_once` makes the first job that holds it fail, one in `fail_always` every job. `dead` kills it.
    """

    log_odds: Callable[[str, str], float] = by_word_overlap
    seconds: float = 0.0
    window: int = 64
    window_tokens: int = 10**9
    behind_tokens: int = 10**9
    scoring: frozenset[Scoring] = frozenset(Scoring)
    random_weights: bool = False
    fail_once: set[str] = field(default_factory=set)
    fail_always: set[str] = field(default_factory=set)
    dead: bool = False
    stuck: bool = False
    encoder: ScriptedEncoder = field(default_factory=ScriptedEncoder)
    metrics: Sequence[Series] = ()
    jobs: list[ScriptedJob] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="scripted",
            engine_version="0",
            dtype="float32",
            device="none",
            scoring=self.scoring,
            window=self.window,
            window_tokens=self.window_tokens,
            behind_tokens=self.behind_tokens,
            max_model_tokens=2048,
            max_reasoning_tokens=512,
            random_weights=self.random_weights,
        )

    async def submit(self, prompts: Sequence[Prompt]) -> AsyncGenerator[Output]:
        job = ScriptedJob.of(prompts)
        self.jobs.append(job)
        self.running += len(prompts)
        self.most_running = max(self.most_running, self.running)
        left = len(prompts)
        try:
            for index, (prompt, passage) in enumerate(zip(prompts, job.passages, strict=True)):
                await self._work(passage)
                self.running -= 1
                left -= 1
                yield self._completion(index, prompt, self.log_odds(job.query, passage))
        finally:
            self.running -= left

    async def _work(self, passage: str) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.dead:
            raise EngineDead("The engine has died.")
        if passage in self.fail_always:
            raise EngineFailed(f"The engine failed on a passage of {len(passage)} characters.")
        if passage in self.fail_once:
            self.fail_once.discard(passage)
            raise EngineFailed("The engine failed once.")

    def _completion(self, index: int, prompt: Prompt, log_odds: float) -> Completion:
        return scripted_completion(index, prompt, log_odds)

    async def health(self) -> Health:
        if self.dead:
            return Health(ready=False, alive=False, reason="The engine has died.")
        return Health(ready=True, alive=True)

    async def close(self) -> None:
        self.released.set()


def scripted_completion(
    index: int, prompt: Prompt, log_odds: float, status: Status = Status.COMPLETE, reasoning: str = REASONING
) -> Completion:
    """What the scripted engine says of one prompt: 20 tokens cached and, where there is reasoning, 5 of it."""
    written = prompt.budget > 0
    return Completion(
        index=index,
        answers=(log_odds, 0.0),
        status=status,
        reasoning=reasoning if written else None,
        reasoning_tokens=5 if written else 0,
        cached_tokens=20,
    )
