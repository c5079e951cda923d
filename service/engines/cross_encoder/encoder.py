"""The encoders of cross-encoders: they turn a call's text into pairs of query and passage, or into prompts where a
decoder's pairs are written as such, truncated to what fits the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as Normalizers

from contract.pairs import NO_PROMPTS, PairEncoder, PairPrompts
from contract.prompt import ContractError, PromptEncoder
from contract.verdict import OUTPUT, OutputReading, Reading
from service.engine import Encoder, Limits, Prefix, Rest, ids_of
from service.engines.causal.prompts import CausalEncoder
from service.engines.causal.text_length import FewestTokens
from service.errors import FixedPartsTooLong, ModelStoreError
from service.models.checkpoint import Checkpoint
from service.models.classifier import Classifier

_LONGEST_TOKEN = 100  # characters; BERT's tokenizers turn a longer word into one [UNK]


class ClassifierEncoder(Encoder, Protocol):
    """The encoder of a classifier that reads at most `max_tokens` tokens."""

    @property
    def max_tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _WrittenPairs:
    """The parts of a prompt after which the classifier's output is read."""

    prompt: PromptEncoder
    tokenizer: Tokenizer
    reading: OutputReading
    closing: tuple[int, ...] = ()


class CrossEncoderPrompts:
    """A `service.engine.Encoder` for the contract's pairs. Thread-safe."""

    def __init__(self, pairs: PairEncoder, reading: OutputReading = OUTPUT) -> None:
        self._pairs = pairs
        self._reading = reading
        self._fewest = FewestTokens(pairs.tokenizer)  # a word of any length may be one token

    @property
    def max_tokens(self) -> int:
        return self._pairs.max_tokens

    @property
    def answers(self) -> tuple[int, ...]:
        return ()

    @property
    def reading(self) -> Reading:
        return self._reading

    def least_tokens(self, texts: Sequence[str], longest: int) -> int:
        """See `service.engine.Encoder.least_tokens`."""
        return self._fewest(texts, longest)

    def token_ends(self, text: str) -> Sequence[int]:
        """See `service.engine.Encoder.token_ends`."""
        return self._pairs.token_ends(text)

    def prefix(self, query: str, instruction: str | None, budget: int) -> Prefix:
        """See `service.engine.Encoder.prefix`; leaves no room for reasoning."""
        limit = self._pairs.max_tokens
        characters = len(query) + len(instruction or "")
        if characters > limit * _LONGEST_TOKEN:
            raise FixedPartsTooLong(
                f"Query and instruction have {characters} characters, far more than the {limit} tokens of the model; "
                "shorten them.",
                field="query",
            )
        ids = self._pairs.query_ids(query, instruction)
        room = self._pairs.room(ids)
        if room < 0:
            raise FixedPartsTooLong(
                f"Query and instruction take {len(ids)} tokens, but the model has {limit} with the passage; "
                "shorten the query or the instruction.",
                field="query",
            )
        before = self._pairs.before_passage(ids)
        return Prefix(ids_of(before.ids), room, before.second)

    def rests(self, prefix: Prefix, passages: Sequence[str], limits: Limits) -> list[Rest]:
        """See `service.engine.Encoder.rests`."""
        most = prefix.room if limits.passage_tokens is None else min(prefix.room, limits.passage_tokens)
        fitted = (self._pairs.after_query(passage, most, cut_left=limits.cut_left) for passage in passages)
        return [Rest(ids_of(each.ids), each.truncated) for each in fitted]


def classifier_encoder(
    checkpoint: Checkpoint, max_tokens: int, prompts: PairPrompts | None = None
) -> ClassifierEncoder:
    """The encoder of a checkpoint. `prompts` override what its files say, a prompt of a causal model included. Raises
    ModelStoreError."""
    classifier = checkpoint.classifier or Classifier()
    if classifier.prompt is None or prompts is not None:
        return CrossEncoderPrompts(pair_encoder(checkpoint, max_tokens, prompts), classifier.reading)
    tokenizer = checkpoint.tokenizer()
    try:
        written = PromptEncoder(classifier.prompt, tokenizer)
    except ContractError as error:
        raise ModelStoreError(str(error)) from error
    return CausalEncoder(_WrittenPairs(written, tokenizer, classifier.reading), max_tokens)


def overridden(checkpoint: Checkpoint, query: str | None, passage: str | None) -> PairPrompts | None:
    """The prefixes of queries and passages that settings state; what one leaves open is as in the model's files. None
    where they say nothing."""
    if query is None and passage is None:
        return None
    stated = checkpoint.classifier.prompts if checkpoint.classifier else NO_PROMPTS
    return PairPrompts(stated.query if query is None else query, stated.passage if passage is None else passage)


def pair_encoder(checkpoint: Checkpoint, max_tokens: int, prompts: PairPrompts | None = None) -> PairEncoder:
    """The pair encoder of a checkpoint. `prompts` override those in its files. Raises ModelStoreError."""
    classifier = checkpoint.classifier or Classifier()
    tokenizer = checkpoint.tokenizer()
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if classifier.lower_case:
        before = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = Normalizers([Lowercase(), *before])
    try:
        return PairEncoder(tokenizer, max_tokens, prompts or classifier.prompts)
    except ContractError as error:
        raise ModelStoreError(str(error)) from error
