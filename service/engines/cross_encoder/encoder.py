"""The encoder of cross-encoders: turns a call's text into pairs of query and passage, truncated to what fits the
model."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as Normalizers

from contract.pairs import PairEncoder, PairPrompts
from contract.prompt import ContractError
from contract.verdict import OUTPUT, Reading
from service.engine import Limits, Prefix, Rest, ids_of
from service.errors import FixedPartsTooLong, ModelStoreError
from service.models.checkpoint import Checkpoint
from service.models.classifier import Classifier

_LONGEST_TOKEN = 100  # characters; BERT's tokenizers turn a longer word into one [UNK]


class CrossEncoderPrompts:
    """A `service.engine.Encoder` for the contract's pairs. Thread-safe."""

    def __init__(self, pairs: PairEncoder) -> None:
        self._pairs = pairs

    @property
    def answers(self) -> tuple[int, ...]:
        return ()

    @property
    def reading(self) -> Reading:
        return OUTPUT

    def least_tokens(self, text: str) -> int:
        """Always 0, because a word of any length may be one token."""
        return min(1, len(text))

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


def pair_encoder(checkpoint: Checkpoint, max_tokens: int, prompts: PairPrompts | None = None) -> PairEncoder:
    """The pair encoder of a checkpoint. `prompts` override those in its files. Raises ModelStoreError."""
    classifier = checkpoint.classifier or Classifier()
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if classifier.lower_case:
        before = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = Normalizers([Lowercase(), *before])
    try:
        return PairEncoder(tokenizer, max_tokens, prompts or classifier.prompts)
    except ContractError as error:
        raise ModelStoreError(str(error)) from error
