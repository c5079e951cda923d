"""Writes reasoning for many requests together, one token each per step.

A request joins when its prompt is computed and leaves when its answers are read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from contract.reasoning import PieceReader, Reader, ReasoningResult, Status
from contract.segments import Segments
from service.engine import Output, PartialOutput
from service.engines.causal.requests import Request, Submission
from service.engines.transformers.kv_cache import DecodeCache, KVCache
from service.engines.transformers.model import ModelRunner
from service.engines.transformers.scheduler import Ending


class Generation:
    """The reasoning of one request. `prefix` holds the tokens before its own; `written` is what the model wrote, behind
    what its prompt continued and without an end of text."""

    def __init__(self, request: Request, prefix: KVCache, segments: Segments, reader: Reader) -> None:
        self.request = request
        self.prefix = prefix
        self.written: list[int] = [] if request.continued is None else list(request.continued.written)
        self.status: Status | None = None
        self._most = len(self.written) + request.budget
        self._closing, self._answer = segments.closing, segments.answer
        self._reader = reader
        self._to_feed: deque[int] = deque()
        before = request.continued.text if request.continued else ""
        self._pieces = PieceReader(segments, before) if request.prompt.stream else None

    @property
    def ending(self) -> bool:
        """True when nothing more is written and only the end-of-think tag and the answers are left."""
        return self.status is not None

    @property
    def answers_due(self) -> bool:
        """True when all is fed, so that the last hidden state is the one that the answers are read from."""
        return self.ending and not self._to_feed

    def feed(self) -> int:
        """The next token for the model."""
        return self._to_feed.popleft()

    def write(self, token: int) -> None:
        """Take the token the model chose, and find out whether it ends the reasoning."""
        self.written.append(token)
        status = self._reader.ended(self.written, self._most)
        if status is Status.END_OF_TEXT:
            self.written.pop()
        else:
            self._to_feed.append(token)
        if status is Status.COMPLETE:
            self.status = status
            self._to_feed.extend(self._answer)
        elif status is not None:
            self.end(status)

    def end(self, status: Status) -> None:
        """End the reasoning where it is, with the format's tag."""
        if not self.ending:
            self.status = status
            self._to_feed.extend(self._closing)

    def result(self) -> ReasoningResult:
        """What was written, once it has ended."""
        return self._reader.read(self.written, self.status)

    def piece(self) -> PartialOutput | None:
        """What is new of the text, where the request asks for pieces and there is something."""
        if self._pieces is None:
            return None
        text = self._pieces.last(self.result().text) if self.ending else self._pieces.next(self.written)
        return PartialOutput(self.request.index, text, len(self.written)) if text else None


class NextToken(Protocol):
    """How the next token of each generation is chosen."""

    def __call__(self, logits: Tensor, generations: Sequence[Generation]) -> list[int]:
        """`logits` (generations, vocabulary) after what each has so far; returns one id for each."""
        ...


def greedy(logits: Tensor, generations: Sequence[Generation]) -> list[int]:
    """The most likely token: the same reasoning every time."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    return chosen


@dataclass(frozen=True, slots=True)
class Made:
    """Something that came of a request."""

    request: Request
    output: Output


class Decoder:
    """The generations under way; generation `i` is in row `i` of the cache."""

    def __init__(
        self, model: ModelRunner, cache: DecodeCache, segments: Segments, reader: Reader, choose: NextToken
    ) -> None:
        self._model = model
        self._cache = cache
        self._segments = segments
        self._reader = reader
        self._choose = choose
        self.generations: list[Generation] = []

    @property
    def urgent(self) -> bool:
        """True when a deadline has ended a generation whose answers are not read yet."""
        return any(generation.status is Status.DEADLINE for generation in self.generations)

    def begin(self, endings: Sequence[Ending], hidden: Tensor) -> list[Made]:
        """Start on prompts that were computed into the last rows; `hidden` is the state after each (endings, dim)."""
        if not endings:
            return []
        begun = [Generation(e.request, e.cache, self._segments, self._reader) for e in endings]
        made = [Made(generation.request, generation.request.begun()) for generation in begun]
        made += self._write(begun, hidden)
        self.generations += begun
        return made

    def step(self) -> list[Made]:
        """Feed every generation one token. Those whose answers were read by it are gone from the cache."""
        fed = [generation.feed() for generation in self.generations]
        hidden = self._model.decode(fed, [generation.prefix for generation in self.generations], self._cache)
        writing = [row for row, generation in enumerate(self.generations) if not generation.ending]
        due = [row for row, generation in enumerate(self.generations) if generation.answers_due]
        made = self._completed([self.generations[row] for row in due], hidden[due])
        if writing:
            made += self._write([self.generations[row] for row in writing], hidden[writing])
        for row in reversed(due):
            self._drop(row)
        return made

    def discard(self, submission: Submission) -> None:
        """Forget the generations of a submission."""
        for row in reversed(range(len(self.generations))):
            if self.generations[row].request.submission is submission:
                self._drop(row)

    def abandon(self) -> list[Request]:
        """Forget all generations after a step that failed; returns their requests."""
        requests = [generation.request for generation in self.generations]
        for row in reversed(range(len(self.generations))):
            self._drop(row)
        return requests

    def _completed(self, due: Sequence[Generation], hidden: Tensor) -> list[Made]:
        """Completions of generations by the state (due, dim) after each, the last piece of text before its own."""
        answers = self._model.answers(hidden, [generation.request.prompt.answers for generation in due])
        made = _pieces(due)
        for generation, read in zip(due, answers, strict=True):
            request = generation.request
            made.append(Made(request, request.completion(read.values, read.mass, generation.result())))
        return made

    def _write(self, generations: Sequence[Generation], hidden: Tensor) -> list[Made]:
        """Let the model choose the next token of each; returns pieces of text for those that want them."""
        tokens = self._choose(self._model.next_logits(hidden), generations)
        for generation, token in zip(generations, tokens, strict=True):
            generation.write(token)
        return _pieces(generations)

    def _drop(self, row: int) -> None:
        self._cache.drop(row)
        self.generations[row] = self.generations[-1]
        self.generations.pop()


def _pieces(generations: Sequence[Generation]) -> list[Made]:
    pieces = ((generation, generation.piece()) for generation in generations)
    return [Made(generation.request, piece) for generation, piece in pieces if piece is not None]
