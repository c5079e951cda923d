"""From a job's text to documents in ids, cut to what fits the model."""

from __future__ import annotations

import time
from collections.abc import Sequence

from contract.segments import Segments
from contract.truncation import FittedRest, PassageFitter
from service.engine import Job, Status
from service.engines.causal.sequences import Document, Submission
from service.errors import FixedPartsTooLong, PassageTooLong

# Normalising can make four characters into one; a text longer than this many times the longest token has more tokens.
_CHARACTERS_PER_NORMAL_CHARACTER = 4


class PromptDocuments:
    """Encodes jobs for a model of `max_tokens`. Safe to use from several threads."""

    def __init__(self, segments: Segments, max_tokens: int) -> None:
        self._segments = segments
        self._fitter = PassageFitter(segments.prompt)
        self._max_tokens = max_tokens
        longest = max(map(len, segments.tokenizer.get_vocab(with_added_tokens=True)))
        self._max_characters = max_tokens * longest * _CHARACTERS_PER_NORMAL_CHARACTER

    def encode(self, job: Job, budget: int | None, deadline: float | None, submission: Submission) -> list[Document]:
        """The job's documents. `budget` None: direct mode. Raise FixedPartsTooLong or PassageTooLong."""
        prefix = self._prefix(job, budget or 0)
        room = self._max_tokens - len(prefix) - len(self._segments.close) - (budget or 0)
        rests = self._fitter.fit(job.passages, room, job.passage_tokens, cut_left=job.cut_left)
        if not job.truncate:
            self._refuse_cuts(rests, room, job.passage_tokens)
        arrived = time.monotonic()
        documents = [
            Document(
                submission=submission,
                index=index,
                call=job.call,
                priority=job.priority,
                prefix=prefix,
                rest=rest.ids,
                budget=budget or 0,
                truncated=rest.truncated,
                deadline=deadline,
                arrived=arrived,
            )
            for index, rest in enumerate(rests)
        ]
        if budget == 0:  # reasoning was asked for, and no token of it
            for document in documents:
                document.end_before_trace(Status.BUDGET)
        return documents

    def _prefix(self, job: Job, budget: int) -> tuple[int, ...]:
        characters = len(job.query) + len(job.instruction or "")
        if characters > self._max_characters:
            raise FixedPartsTooLong(
                f"Query and instruction have {characters} characters, far more than the "
                f"{self._max_tokens} tokens of the model; shorten them.",
                field="query",
            )
        prefix = tuple(self._segments.prompt.prefix(job.query, job.instruction))
        fixed = len(prefix) + self._fitter.tail_tokens + len(self._segments.close) + budget
        if fixed > self._max_tokens:
            traced = f" and {budget} for the trace" if budget else ""
            raise FixedPartsTooLong(
                f"Without any passage the prompt takes {fixed - budget} tokens{traced}, but the model has "
                f"{self._max_tokens}; shorten the query or the instruction.",
                field="query",
            )
        return prefix

    def _refuse_cuts(self, rests: Sequence[FittedRest], room: int, passage_tokens: int | None) -> None:
        cut = [index for index, rest in enumerate(rests) if rest.truncated]
        if cut:
            limit = room - self._fitter.tail_tokens
            limit = limit if passage_tokens is None else min(limit, passage_tokens)
            raise PassageTooLong(cut[0], limit)
