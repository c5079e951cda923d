"""The ids of a (query, passage) pair for a cross-encoder: two encoded texts in the tokenizer's own frame.

Trainer and service both build their pairs here. An instruction follows the query, as in the prompt of a causal model.
`PairPrompts` holds the `query: ` and `document: ` prefixes of models that were trained with them. User text is data: a
string that the tokenizer flags special is broken up in it (`contract.prompt.Guard`); words that were added to a
vocabulary are encoded as the tokenizer does it. Only the passage is ever truncated.

Worked example with BERT's frame ([CLS], [SEP], [SEP]), a query of 2 tokens, a passage of 5 and `max_tokens` 8. The
frame takes 3, so `room` is 8 - 3 - 2 = 3 and the passage keeps 3 tokens:

    [CLS] q q [SEP] p p p [SEP]     8 ids; `second` = 4: the passage and the last [SEP] have token type 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.formats.tokenizer import token_ends
from contract.prompt import ContractError, Guard, Tokenizer

_LIKELY_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5; the window doubles when this is too few
_SLACK_TOKENS = 8  # tokens this far from the cut do not influence the tokens before it


@dataclass(frozen=True, slots=True)
class Pair:
    """`ids` of the whole sequence; those from index `second` on have token type 1. `truncated`: the passage was cut."""

    ids: tuple[int, ...]
    second: int
    truncated: bool

    @property
    def type_ids(self) -> list[int]:
        return [0] * self.second + [1] * (len(self.ids) - self.second)


@dataclass(frozen=True, slots=True)
class PairStart:
    """The ids before a passage. From index `second` on, and for the passage, the token type is 1; None: it is 0
    everywhere."""

    ids: tuple[int, ...]
    second: int | None


@dataclass(frozen=True, slots=True)
class PairEnd:
    """The ids from the passage's first one to the end. `truncated`: the passage was cut."""

    ids: tuple[int, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Frame:
    """The tokens that the tokenizer puts before, between and after two texts (BERT: [CLS], [SEP], [SEP])."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    second: int | None  # number of `between` tokens of the first text's type; None: no types

    @property
    def tokens(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True)
class PairPrompts:
    """Fixed text before every query and every passage, encoded together with it."""

    query: str = ""
    passage: str = ""


NO_PROMPTS = PairPrompts()


class PairEncoder:
    """Builds pairs with one tokenizer, at most `max_tokens` long. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, prompts: PairPrompts = NO_PROMPTS) -> None:
        """The tokenizer must not truncate or pad. Raises ContractError when it has no frame for pairs."""
        self.max_tokens = max_tokens
        self.tokenizer = tokenizer
        self._guard = Guard(tokenizer, added=False)
        self._frame = _frame(tokenizer)
        self._prompts = prompts
        self._passage_prompt_tokens = len(self._ids(self._prompts.passage, "")) if self._prompts.passage else 0

    def query_ids(self, query: str, instruction: str | None = None) -> list[int]:
        """Ids of the query and its instruction, without the frame."""
        return self._ids(self._prompts.query, query if instruction is None else f"{query} {instruction}")

    def token_ends(self, text: str) -> list[int]:
        """For each token of a text alone the code point behind it; `token_ends` says more."""
        return token_ends(self.tokenizer, text)

    def room(self, query_ids: Sequence[int]) -> int:
        """Number of passage tokens that fit beside the query; negative when the query itself does not fit."""
        return self.max_tokens - self._frame.tokens - len(query_ids)

    def pairs(
        self,
        query_ids: Sequence[int],
        passages: Sequence[str],
        passage_tokens: int | None = None,
        *,
        cut_left: bool = False,
    ) -> list[Pair]:
        """One pair per passage, truncated to the room left and to `passage_tokens`. `cut_left` drops the beginning of a
        passage.

        Raises ValueError when the query leaves no room.
        """
        room = self.room(query_ids)
        if room < 0:
            raise ValueError(f"A query of {len(query_ids)} tokens does not fit into {self.max_tokens}.")
        limit = room if passage_tokens is None else min(room, passage_tokens)
        start = self.before_passage(query_ids)
        ends = (self.after_query(passage, limit, cut_left=cut_left) for passage in passages)
        return [_pair(start, end) for end in ends]

    def before_passage(self, query_ids: Sequence[int]) -> PairStart:
        """The common beginning of all pairs of a query."""
        frame = self._frame
        second = None if frame.second is None else len(frame.before) + len(query_ids) + frame.second
        return PairStart((*frame.before, *query_ids, *frame.between), second)

    def after_query(self, passage: str, limit: int, *, cut_left: bool = False) -> PairEnd:
        """At most `limit` tokens of a passage with its prefix, and the end of the tokenizer's frame."""
        ids, whole = self._passage_ids(passage, limit, cut_left)
        kept = ids if len(ids) <= limit else self._kept(ids, limit, cut_left)
        return PairEnd((*kept, *self._frame.after), not whole or len(kept) < len(ids))

    def _kept(self, ids: list[int], limit: int, cut_left: bool) -> list[int]:
        """The first or last `limit` ids. A cut at the left keeps the passage's prefix."""
        first = min(self._passage_prompt_tokens, limit) if cut_left else limit
        return [*ids[:first], *ids[len(ids) - (limit - first) :]]

    def _passage_ids(self, passage: str, limit: int, cut_left: bool) -> tuple[list[int], bool]:
        """Ids of the passage and whether that is all of it; of a long one only a part that certainly has `limit`
        tokens."""
        characters = (limit + _SLACK_TOKENS) * _LIKELY_CHARACTERS_PER_TOKEN
        while characters < len(passage):
            ids = self._ids(self._prompts.passage, passage[-characters:] if cut_left else passage[:characters])
            if len(ids) > limit + _SLACK_TOKENS:
                return ids, False
            characters *= 2
        return self._ids(self._prompts.passage, passage), True

    def _ids(self, prompt: str, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt + self._guard.bare(text), add_special_tokens=False).ids
        return ids


def _pair(start: PairStart, end: PairEnd) -> Pair:
    ids = (*start.ids, *end.ids)
    return Pair(ids, len(ids) if start.second is None else start.second, end.truncated)


def _frame(tokenizer: Tokenizer) -> _Frame:
    """Derives the frame from how the tokenizer encodes a pair of two short texts."""
    query, passage = (tokenizer.encode(text, add_special_tokens=False).ids for text in ("query", "passage"))
    framed = tokenizer.encode_batch_fast([("query", "passage")], add_special_tokens=True)[0]
    ids, types = list(framed.ids), list(framed.type_ids)
    try:
        start = _find(ids, query, 0)
        middle = _find(ids, passage, start + len(query))
    except ValueError:
        raise ContractError(f"The tokenizer encodes a pair as {ids}, where its two texts do not stand apart.") from None
    if not set(types) <= {0, 1}:
        raise ContractError(f"The tokenizer gives the parts of a pair the types {types}; known are 0 and 1.")
    end = middle + len(passage)
    between = tuple(ids[start + len(query) : middle])
    second = sum(1 for kind in types[start + len(query) : middle] if kind == 0)
    return _Frame(tuple(ids[:start]), between, tuple(ids[end:]), second if 1 in types else None)


def _find(ids: list[int], part: list[int], start: int) -> int:
    for at in range(start, len(ids) - len(part) + 1):
        if part and ids[at : at + len(part)] == part:
            return at
    raise ValueError("not found")
