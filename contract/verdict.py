"""The verdict: its tokens resolved in context, its log-odds and relevance, and its text form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.prompt import ContractError, PromptFormat, Tokenizer


@dataclass(frozen=True, slots=True)
class VerdictTokens:
    """Ids of the verdict words as they stand right after the close (Qwen2.5: true 830, false 895)."""

    true: int
    false: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model writes after the prompt, read: the trace before the close, and the verdict after it."""

    trace: str
    relevant: bool


def resolve_verdict_tokens(prompt_format: PromptFormat, tokenizer: Tokenizer) -> VerdictTokens:
    """Raise ContractError unless close + word adds exactly one token to the close, a different one for each word."""
    true = _token_after_close(prompt_format, tokenizer, prompt_format.true_word)
    false = _token_after_close(prompt_format, tokenizer, prompt_format.false_word)
    if true == false:
        raise ContractError(f"The tokenizer gives both verdict words the id {true}; it cannot serve this format.")
    return VerdictTokens(true=true, false=false)


def _token_after_close(prompt_format: PromptFormat, tokenizer: Tokenizer, word: str) -> int:
    close = tokenizer.encode(prompt_format.close, add_special_tokens=False).ids
    both = tokenizer.encode(prompt_format.close + word, add_special_tokens=False).ids
    if len(both) != len(close) + 1 or both[: len(close)] != close:
        raise ContractError(
            f"After {prompt_format.close!r} (ids {close}) the verdict word {word!r} must be exactly one token more, "
            f"but the tokenizer gives {both}; use a format whose words are single tokens of this tokenizer."
        )
    return int(both[-1])


@dataclass(frozen=True, slots=True)
class Temperatures:
    """What log-odds are divided by so that relevance is calibrated: those of a verdict that is read at once, and those
    of one read after a trace. They differ: a model that has just argued for a verdict is surer of it than right."""

    direct: float = 1.0
    reasoning: float = 1.0

    def calibrated(self, answers: Sequence[float], reasoning_tokens: int = 0) -> float:
        """Log-odds of relevance from the log-probabilities (or logits) of the answers true and false, in this order, or
        from the one output of a cross-encoder.

        Reasoning of no tokens leaves the ids of a direct prompt, so it is calibrated as one.
        """
        odds = answers[0] if len(answers) == 1 else answers[0] - answers[1]
        return odds / (self.reasoning if reasoning_tokens else self.direct)


AS_IT_IS = Temperatures()
"""Divides by 1."""


def relevance(odds: float) -> float:
    """Relevance in [0, 1] of given log-odds: 1 / (1 + exp(-odds)), without overflow."""
    if odds >= 0:
        return 1.0 / (1.0 + math.exp(-odds))
    power = math.exp(odds)
    return power / (1.0 + power)


def render_completion(prompt_format: PromptFormat, trace: str, relevant: bool) -> str:
    """Trace, close and verdict word as text: what a model is expected to write after the prompt."""
    return f"{trace}{prompt_format.close}{prompt_format.true_word if relevant else prompt_format.false_word}"


def read_completion(prompt_format: PromptFormat, text: str) -> Completion:
    """Read `trace</think> true`. Raise ContractError where there is not exactly one close and one known word.

    White space around the word is allowed (published training data has a newline there), nothing else is.
    """
    trace, close, word = text.partition(prompt_format.close)
    if not close:
        raise ContractError(f"The completion has no {prompt_format.close!r}: {text[-80:]!r}.")
    words = {prompt_format.true_word.strip(): True, prompt_format.false_word.strip(): False}
    if word.strip() not in words:
        raise ContractError(f"After {prompt_format.close!r} stands {word[:80]!r}, which is neither of {sorted(words)}.")
    return Completion(trace, words[word.strip()])
