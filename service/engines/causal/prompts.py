"""The encoder of causal models: a call's text as the prompts of the contract, cut to what fits the model."""

from __future__ import annotations

from collections.abc import Sequence

from contract.segments import Segments
from contract.truncation import PassageFitter
from service.engine import Limits, Prefix, Rest, ids_of
from service.errors import FixedPartsTooLong

# Normalising can make four characters into one; a text longer than this many times the longest token has more tokens.
_CHARACTERS_PER_NORMAL_CHARACTER = 4


class CausalEncoder:
    """A `service.engine.Encoder` for a model of `max_tokens`. Safe to use from several threads."""

    def __init__(self, segments: Segments, max_tokens: int) -> None:
        self._segments = segments
        self._fitter = PassageFitter(segments.prompt)
        self._max_tokens = max_tokens
        longest = max(map(len, segments.tokenizer.get_vocab(with_added_tokens=True)))
        self._characters_per_token = longest * _CHARACTERS_PER_NORMAL_CHARACTER

    @property
    def answers(self) -> tuple[int, int]:
        return self._segments.verdict.true, self._segments.verdict.false

    def least_tokens(self, text: str) -> int:
        return len(text) // self._characters_per_token

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        """See `service.engine.Encoder.prefix`."""
        characters = len(query) + len(instruction or "")
        if characters > self._max_tokens * self._characters_per_token:
            raise FixedPartsTooLong(
                f"Query and instruction have {characters} characters, far more than the "
                f"{self._max_tokens} tokens of the model; shorten them.",
                field="query",
            )
        ids = ids_of(self._segments.prompt.prefix(query, instruction))
        fixed = len(ids) + self._fitter.tail_tokens + len(self._segments.close)
        if fixed + budget > self._max_tokens:
            traced = f" and {budget} for the trace" if budget else ""
            raise FixedPartsTooLong(
                f"Without any passage the prompt takes {fixed} tokens{traced}, but the model has "
                f"{self._max_tokens}; shorten the query or the instruction.",
                field="query",
            )
        return Prefix(ids, self._max_tokens - fixed - budget)

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        """See `service.engine.Encoder.rests`."""
        room = prefix.room + self._fitter.tail_tokens
        fitted = self._fitter.fit(passages, room, limits.passage_tokens, cut_left=limits.cut_left)
        return [Rest(ids_of(each.ids), each.truncated) for each in fitted]
