"""The verdict: its tokens resolved in context, the score computed from a model's answers, and its text form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.formats.grades import Grades, Read, grades_of
from contract.formats.template import slots_of
from contract.formats.tokenizer import ids_of_text
from contract.prompt import ContractError, PromptFormat, Tokenizer


@dataclass(frozen=True, slots=True)
class VerdictTokens:
    """Ids of the verdict words directly after the close (Qwen2.5: true 830, false 895)."""

    true: int
    false: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's parsed completion: the trace before the close, and the verdict after it."""

    trace: str
    relevant: bool


def resolve_verdict_tokens(prompt_format: PromptFormat, tokenizer: Tokenizer) -> VerdictTokens:
    """The ids of the first spelling of both words.

    Raises ContractError for a format without two words, and unless each word is exactly one token in its context and
    the two tokens differ.
    """
    return first_spellings(resolve_reading(prompt_format, tokenizer), prompt_format)


def first_spellings(reading: Reading, prompt_format: PromptFormat) -> VerdictTokens:
    """The two words of a reading. Raises ContractError for a format without two words."""
    if not isinstance(reading, WordReading) or not reading.false:
        raise ContractError(f"The format {prompt_format.name!r} does not answer with one word or its opposite.")
    return VerdictTokens(true=reading.true[0], false=reading.false[0])


def resolve_reading(prompt_format: PromptFormat, tokenizer: Tokenizer) -> Reading:
    """How answers of this format are read with this tokenizer. Raises ContractError as `resolve_verdict_tokens`
    does."""
    if prompt_format.grades:
        found = {_grade_ids(prompt_format, tokenizer, text): value for text, value in prompt_format.grades}
        if len(found) < len(prompt_format.grades):
            raise ContractError(_same_ids(prompt_format, "grades"))
        return GradedReading(grades_of(found))
    if not prompt_format.true_words:
        raise ContractError(
            f"The format {prompt_format.name!r} has neither true_words nor grades, so nothing says what a causal model "
            "answers; write one of them."
        )
    true = tuple(_word_id(prompt_format, tokenizer, word) for word in prompt_format.true_words)
    false = tuple(_word_id(prompt_format, tokenizer, word) for word in prompt_format.false_words)
    for name, ids in (("true_words", true), ("false_words", false)):
        if len(set(ids)) < len(ids):
            raise ContractError(_same_ids(prompt_format, name))
    if shared := set(true) & set(false):
        raise ContractError(
            f"The tokenizer gives both verdict words the id {shared.pop()}; it cannot serve this format."
        )
    return WordReading(true, false, prompt_format.scale, prompt_format.offset)


def _same_ids(prompt_format: PromptFormat, name: str) -> str:
    return (
        f"The tokenizer gives two {name} of the format {prompt_format.name!r} the same ids, which would count them "
        "twice; write one of them."
    )


def _word_id(prompt_format: PromptFormat, tokenizer: Tokenizer, word: str) -> int:
    if prompt_format.words_as == "vocabulary":
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        if word not in vocabulary:
            raise ContractError(
                f"The tokenizer's vocabulary has no entry {word!r}; write the word as the vocabulary spells it "
                "(a space before it is often 'Ġ' or '▁' there), or say words_as: text."
            )
        return vocabulary[word]
    ids = _ids_where_read(prompt_format, tokenizer, word)
    if len(ids) != 1:
        context = _context(prompt_format)
        raise ContractError(
            f"After {context[-40:]!r} (ids {ids_of_text(tokenizer, context)[-8:]}) the verdict word {word!r} must be "
            f"exactly one token more, but the tokenizer gives {ids or ids_of_text(tokenizer, context + word)[-8:]}; "
            "use a format whose words are single tokens of this tokenizer."
        )
    return ids[0]


def _grade_ids(prompt_format: PromptFormat, tokenizer: Tokenizer, grade: str) -> tuple[int, ...]:
    ids = _ids_where_read(prompt_format, tokenizer, grade)
    if not ids:
        raise ContractError(
            f"After {_context(prompt_format)[-40:]!r} the tokenizer fuses the grade {grade!r} with what stands before "
            "it; end the prompt (or answer) so that a grade begins a token."
        )
    return ids


def _ids_where_read(prompt_format: PromptFormat, tokenizer: Tokenizer, word: str) -> tuple[int, ...]:
    """The ids of a word after its context; () when it merges with the context."""
    context = ids_of_text(tokenizer, _context(prompt_format))
    both = ids_of_text(tokenizer, _context(prompt_format) + word)
    return tuple(both[len(context) :]) if both[: len(context)] == context else ()


def _context(prompt_format: PromptFormat) -> str:
    """The fixed text, encoded alone, before a word: end-of-think tag, `answer`, or the end of the prompt."""
    if prompt_format.close:
        return prompt_format.answer or prompt_format.close
    last = prompt_format.prompt[-1]
    slots = slots_of(last)
    return last.rpartition(f"{{{slots[-1]}}}")[2] if slots else last


@dataclass(frozen=True, slots=True)
class Temperatures:
    """The divisors that calibrate log-odds, for direct verdicts and for verdicts after reasoning. They differ because a
    model that has just argued for a verdict is more confident than it is accurate."""

    direct: float = 1.0
    reasoning: float = 1.0

    def after(self, reasoning_tokens: int) -> float:
        """The temperature for an answer after so many tokens of reasoning.

        Without reasoning tokens the ids are those of a direct prompt, so the direct temperature applies.
        """
        return self.reasoning if reasoning_tokens else self.direct

    def calibrated(self, answers: Sequence[float], reasoning_tokens: int = 0) -> float:
        """Calibrated log-odds of relevance, from the log-probabilities (or logits) of true and false, in this order, or
        from the one output of a cross-encoder."""
        odds = answers[0] if len(answers) == 1 else answers[0] - answers[1]
        return odds / self.after(reasoning_tokens)


AS_IT_IS = Temperatures()
"""Divides by 1."""


def relevance(odds: float) -> float:
    """Relevance in [0, 1] for log-odds: 1 / (1 + exp(-odds)), without overflow."""
    if odds >= 0:
        return 1.0 / (1.0 + math.exp(-odds))
    power = math.exp(odds)
    return power / (1.0 + power)


def hard_relevance(output: float) -> float:
    """The hard sigmoid: 0 up to -3, 1 from 3 on, and a straight line between."""
    return min(1.0, max(0.0, output / 6.0 + 0.5)) if math.isfinite(output) else output


@dataclass(frozen=True, slots=True)
class Scored:
    """`raw` is the sort key, shown as `raw_scores` and `logit`; `relevance` is in [0, 1]."""

    raw: float
    relevance: float


class Reading(Protocol):
    """Turns a model's answers into a score."""

    @property
    def reads(self) -> tuple[Read, ...]:
        """The reads, the first directly after the prompt or the reasoning; () for a cross-encoder."""
        ...

    @property
    def logits(self) -> bool:
        """True when the answers are raw logits. A log-probability would depend on words that are not read."""
        ...

    def score(self, answers: Sequence[float], temperature: float) -> Scored:
        """The score. `answers` are those of all reads, concatenated."""
        ...


@dataclass(frozen=True, slots=True)
class WordReading:
    """(Log-odds of the true words against the false ones, or without false words the logit of the one true word, plus
    `offset`) / `scale`."""

    true: tuple[int, ...]
    false: tuple[int, ...]
    scale: float = 1.0
    offset: float = 0.0

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read((), (*self.true, *self.false)),)

    @property
    def logits(self) -> bool:
        return not self.false

    def score(self, answers: Sequence[float], temperature: float) -> Scored:
        odds = _log_sum(answers[: len(self.true)])
        if self.false:
            odds -= _log_sum(answers[len(self.true) :])
        odds = (odds + self.offset) / self.scale / temperature
        return Scored(odds, relevance(odds))


@dataclass(frozen=True, slots=True)
class GradedReading:
    """The expected grade; relevance is its share of the highest grade. Temperatures do not apply."""

    grades: Grades

    @property
    def reads(self) -> tuple[Read, ...]:
        return self.grades.reads

    @property
    def logits(self) -> bool:
        return False

    def score(self, answers: Sequence[float], temperature: float) -> Scored:
        expected = self.grades.expectation(answers)
        return Scored(expected, expected / self.grades.highest)


@dataclass(frozen=True, slots=True)
class OutputReading:
    """The one output of a cross-encoder, or the log-probabilities of true and false, in this order; plus `offset`,
    divided by `scale`. `hard`: the model's own activation is the hard sigmoid, which is used for relevance as long as
    no temperature was fitted, since one is fitted for the sigmoid."""

    hard: bool = False
    scale: float = 1.0
    offset: float = 0.0

    @property
    def reads(self) -> tuple[Read, ...]:
        return ()

    @property
    def logits(self) -> bool:
        return True

    def score(self, answers: Sequence[float], temperature: float) -> Scored:
        odds = answers[0] if len(answers) == 1 else answers[0] - answers[1]
        odds = (odds + self.offset) / self.scale / temperature
        hard = self.hard and temperature == 1.0
        return Scored(odds, hard_relevance(odds) if hard else relevance(odds))


OUTPUT = OutputReading()


def _log_sum(values: Sequence[float]) -> float:
    """The log of a sum of probabilities, given their logs. A single value is returned unchanged."""
    if len(values) == 1:
        return values[0]
    most = max(values)
    return most + math.log(math.fsum(math.exp(value - most) for value in values))


def render_completion(prompt_format: PromptFormat, trace: str, relevant: bool) -> str:
    """Trace, close and verdict word as text: the completion that a model is expected to write."""
    return f"{trace}{prompt_format.close}{prompt_format.true_word if relevant else prompt_format.false_word}"


def read_completion(prompt_format: PromptFormat, text: str) -> Completion:
    """Parses `trace</think> true`. Raises ContractError unless there is exactly one close and one known word.

    White space around the word is allowed (published training data has a newline there), nothing else is.
    """
    trace, close, word = text.partition(prompt_format.close)
    if not close:
        raise ContractError(f"The completion has no {prompt_format.close!r}: {text[-80:]!r}.")
    words = {prompt_format.true_word.strip(): True, prompt_format.false_word.strip(): False}
    if word.strip() not in words:
        raise ContractError(f"After {prompt_format.close!r} stands {word[:80]!r}, which is neither of {sorted(words)}.")
    return Completion(trace, words[word.strip()])
