"""Texts and bodies of calls: made up, the same for the same seed, with the sizes of retrieval traffic."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

# Passages of a corpus have a heavy tail of long ones: uncut, the longest fifth would hold 58 % of the words.
_EXPONENT = 1.5
_SUBJECTS = ("influenza", "the harbour", "a contract", "copper", "the orchestra", "soil", "a battery", "the court")
_ASPECTS = ("treated", "measured", "repaired", "paid for", "explained", "stored", "cleaned", "insured")
_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over man "
    "me even most made after also did many before must through years where much your way well down should because long "
    "each just state those people too mr how little good world make very year still see own work men day get here old "
    "both between life being under three never know same last another while us off might great go come since against"
)


@dataclass(slots=True)
class Texts:
    """A source of queries and passages. `least` and `most`: words of a passage."""

    seed: int
    least: int
    most: int
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible, not secret

    def query(self) -> str:
        return f"How is {self._random.choice(_SUBJECTS)} {self._random.choice(_ASPECTS)}?"

    def words(self) -> int:
        """The length of a passage: Pareto's law from `least` on, cut at `most`."""
        return min(self.most, int(self.least * self._random.paretovariate(_EXPONENT)))

    def passage(self) -> str:
        words = self._random.choices(_WORDS.split(), k=self.words())
        return f"{self._random.choice(_SUBJECTS)} {' '.join(words)}."

    def passages(self, count: int) -> list[str]:
        return [self.passage() for _ in range(count)]

    def between(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def seconds(self, least: float, most: float) -> float:
        return self._random.uniform(least, most)

    def body(self, passages: int, **fields: Any) -> dict[str, Any]:
        """A call in the shape most clients send."""
        return {"query": self.query(), "documents": self.passages(passages), **fields}


@dataclass(frozen=True, slots=True)
class BadCall:
    """A call that a client should not make, and the statuses that a service may answer it with."""

    name: str
    method: str
    path: str
    body: str
    expected: tuple[int, ...]


BAD_CALLS = (
    BadCall("not JSON", "POST", "/rerank", "{query: flu", (400,)),
    BadCall("not an object", "POST", "/rerank", "[1, 2, 3]", (400,)),
    BadCall("no documents", "POST", "/rerank", '{"query": "flu"}', (400,)),
    BadCall("a number for a query", "POST", "/rerank", '{"query": 7, "documents": ["a"]}', (400,)),
    BadCall("a string for documents", "POST", "/rerank", '{"query": "flu", "documents": "a"}', (400,)),
    BadCall("two shapes at once", "POST", "/rerank", '{"query": "flu", "documents": ["a"], "texts": ["a"]}', (400,)),
    BadCall("a lone surrogate", "POST", "/rerank", '{"query": "\\ud800", "documents": ["a"]}', (200, 400)),
    BadCall("deep nesting", "POST", "/rerank", "[" * 50_000, (400,)),
    BadCall("no such path", "POST", "/rerankk", "{}", (404,)),
    BadCall("no such method", "GET", "/rerank", "", (405,)),
)
