"""Generates reasoning for many requests together, one token each per step.

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
from service.engines.causal.requests import Request
from service.engines.submission import Submission
from service.engines.transformers.kv_cache import DecodeCache, KVCache
from service.engines.transformers.model import ModelRunner
from service.engines.transformers.scheduler import Ending


class Generation:
    """The reasoning of one request. `prefix` holds the tokens before the request's own. `written` are the ids that the
    model generated, after any that its prompt continued and without an end of text."""

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
        """True when nothing more is generated and only the end-of-think tag and the answers remain."""
        return self.status is not None

    @property
    def answers_due(self) -> bool:
        """True when all ids are fed, so that the last hidden state is the one from which the answers are read."""
        return self.ending and not self._to_feed

    def feed(self) -> int:
        """The next input token for the model."""
        return self._to_feed.popleft()

    def write(self, token: int) -> None:
        """Takes the token that the model chose, and checks whether it ends the reasoning."""
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
        """Ends the reasoning here, with the format's tag."""
        if not self.ending:
            self.status = status
            self._to_feed.extend(self._closing)

    def result(self) -> ReasoningResult:
        """The reasoning, once it has ended."""
        return self._reader.read(self.written, self.status)

    def piece(self) -> PartialOutput | None:
        """The new text, if the request wants pieces and there is any."""
        if self._pieces is None:
            return None
        text = self._pieces.last(self.result().text) if self.ending else self._pieces.next(self.written)
        return PartialOutput(self.request.index, text, len(self.written)) if text else None


class NextToken(Protocol):
    """Chooses the next token of each generation."""

    def __call__(self, logits: Tensor, generations: Sequence[Generation]) -> list[int]:
        """`logits` (generations, vocabulary) are those after the last token of each; returns one id per generation."""
        ...


def greedy(logits: Tensor, generations: Sequence[Generation]) -> list[int]:
    """The most likely token, so that the same input gives the same reasoning."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    return chosen


@dataclass(frozen=True, slots=True)
class Made:
    """An output of a request."""

    request: Request
    output: Output


class Decoder:
    """The running generations; generation `i` is in row `i` of the cache."""

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
        """Starts on prompts that were computed into the last rows; `hidden` (endings, dim) is the state after each."""
        if not endings:
            return []
        begun = [Generation(e.request, e.cache, self._segments, self._reader) for e in endings]
        made = [Made(generation.request, generation.request.begun()) for generation in begun]
        made += self._write(begun, hidden)
        self.generations += begun
        return made

    def step(self) -> list[Made]:
        """Feeds one token to every generation. Those whose answers are read leave the cache."""
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
        """Drops the generations of a submission."""
        for row in reversed(range(len(self.generations))):
            if self.generations[row].request.submission is submission:
                self._drop(row)

    def abandon(self) -> list[Request]:
        """Drops all generations after a failed step; returns their requests."""
        requests = [generation.request for generation in self.generations]
        for row in reversed(range(len(self.generations))):
            self._drop(row)
        return requests

    def _completed(self, due: Sequence[Generation], hidden: Tensor) -> list[Made]:
        """Completions from the state (due, dim) after each generation, each preceded by its last piece of text."""
        answers = self._model.answers(hidden, [generation.request.prompt.answers for generation in due])
        made = _pieces(due)
        for generation, read in zip(due, answers, strict=True):
            request = generation.request
            made.append(Made(request, request.completion(read.values, read.mass, generation.result())))
        return made

    def _write(self, generations: Sequence[Generation], hidden: Tensor) -> list[Made]:
        """Chooses the next token of each generation; returns pieces of text for those that want them."""
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
