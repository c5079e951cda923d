"""The encoder of causal models: turns a call's text into the contract's prompts, truncated to what fits the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from contract.formats.tokenizer import Tokenizer, token_ends
from contract.prompt import PromptEncoder
from contract.segments import Segments
from contract.truncation import PassageFitter
from contract.verdict import Reading
from service.engine import Limits, Prefix, Rest, Scoring, ids_of
from service.engines.causal.text_length import FewestTokens
from service.errors import FixedPartsTooLong

# Normalisation can turn four characters into one; a text longer than this many times the longest token has more tokens.
_CHARACTERS_PER_NORMAL_CHARACTER = 4


def scoring_of(segments: Segments) -> frozenset[Scoring]:
    """How models of a format can score; without an end-of-think tag there is no reasoning."""
    return frozenset(Scoring) if segments.format.reasons else frozenset({Scoring.DIRECT})


class PromptParts(Protocol):
    """What the encoder needs of a format and its tokenizer; `contract.segments.Segments` has it."""

    @property
    def prompt(self) -> PromptEncoder: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def closing(self) -> tuple[int, ...]: ...
    @property
    def reading(self) -> Reading: ...


class CausalEncoder:
    """A `service.engine.Encoder` for a model of `max_tokens` tokens. Thread-safe."""

    def __init__(self, segments: PromptParts, max_tokens: int) -> None:
        self._segments = segments
        self._fitter = PassageFitter(segments.prompt)
        self._max_tokens = max_tokens
        # After the prompt: the end of reasoning, and the ids of a further read of a grade.
        further = max((len(read.behind) for read in segments.reading.reads), default=0)
        self._closing_tokens = len(segments.closing) + further
        longest = max(map(len, segments.tokenizer.get_vocab(with_added_tokens=True)))
        self._characters_per_token = longest * _CHARACTERS_PER_NORMAL_CHARACTER
        self._fewest = FewestTokens(segments.tokenizer, self._characters_per_token)

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    @property
    def answers(self) -> tuple[int, ...]:
        reads = self.reading.reads
        return reads[0].answers if reads else ()

    @property
    def reading(self) -> Reading:
        return self._segments.reading

    def least_tokens(self, texts: Sequence[str], longest: int) -> int:
        """See `service.engine.Encoder.least_tokens`."""
        return self._fewest(texts, longest)

    def token_ends(self, text: str) -> Sequence[int]:
        """See `service.engine.Encoder.token_ends`."""
        return token_ends(self._segments.tokenizer, text)

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
        behind = self._segments.prompt.behind(query, instruction)
        fixed = len(ids) + self._fitter.tokens_behind(behind) + self._closing_tokens
        if fixed + budget > self._max_tokens:
            traced = f" and {budget} for the trace" if budget else ""
            raise FixedPartsTooLong(
                f"Without any passage the prompt takes {fixed} tokens{traced}, but the model has "
                f"{self._max_tokens}; shorten the query or the instruction.",
                field="query",
            )
        return Prefix(ids, self._max_tokens - fixed - budget, behind=behind)

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        """See `service.engine.Encoder.rests`."""
        room = prefix.room + self._fitter.tokens_behind(prefix.behind)
        fitted = self._fitter.fit(passages, room, limits.passage_tokens, cut_left=limits.cut_left, behind=prefix.behind)
        return [Rest(ids_of(each.ids), each.truncated) for each in fitted]
