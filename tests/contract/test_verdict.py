"""Verdict tokens resolve in context or fail loudly; log-odds and relevance are one formula."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from contract.formats.prompt_format import labelled
from contract.prompt import LIMRANK, ContractError
from contract.verdict import Temperatures, read_completion, relevance, render_completion, resolve_verdict_tokens


def test_the_verdict_words_are_one_token_each_after_the_close(tokenizer: Tokenizer) -> None:
    words = resolve_verdict_tokens(LIMRANK, tokenizer)
    assert tokenizer.decode([words.true], skip_special_tokens=False) == " true"
    assert tokenizer.decode([words.false], skip_special_tokens=False) == " false"


@pytest.mark.parametrize("word", [" trueish verdicts", "", " true"])
def test_a_word_that_is_not_one_token_of_its_own_fails_loudly(tokenizer: Tokenizer, word: str) -> None:
    broken = labelled(false_word=word)
    with pytest.raises(ContractError, match="verdict word"):
        resolve_verdict_tokens(broken, tokenizer)


@given(st.floats(-1e6, 1e6))
def test_relevance_is_the_logistic_of_the_log_odds(odds: float) -> None:
    assert 0.0 <= relevance(odds) <= 1.0
    assert math.isclose(relevance(odds) + relevance(-odds), 1.0, abs_tol=1e-12)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_relevance_keeps_the_order_of_the_log_odds(a: float, b: float) -> None:
    assert (a <= b) <= (relevance(a) <= relevance(b))


def test_true_comes_before_false_and_a_single_output_is_log_odds_already() -> None:
    plain = Temperatures()
    assert plain.calibrated((-1.0, -3.0)) == 2.0
    assert relevance(plain.calibrated((math.log(0.8), math.log(0.2)))) == pytest.approx(0.8)
    assert Temperatures(direct=2.0).calibrated((3.0,)) == 1.5


def test_a_verdict_behind_a_trace_has_a_temperature_of_its_own() -> None:
    fitted = Temperatures(direct=2.0, reasoning=4.0)
    assert fitted.calibrated((-1.0, -3.0)) == 1.0
    assert fitted.calibrated((-1.0, -3.0), 0) == 1.0
    assert fitted.calibrated((-1.0, -3.0), 1) == 0.5


@given(st.text().filter(lambda t: "</think>" not in t), st.booleans())
def test_a_completion_reads_back(trace: str, relevant: bool) -> None:
    completion = read_completion(LIMRANK, render_completion(LIMRANK, trace, relevant))
    assert (completion.trace, completion.relevant) == (trace, relevant)


@pytest.mark.parametrize("text", ["", "true", "so </think>", "so </think> maybe", "so </think> true </think> false"])
def test_a_completion_that_is_not_a_verdict_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        read_completion(LIMRANK, text)


def test_a_newline_before_the_word_is_read() -> None:
    assert read_completion(LIMRANK, "so\n</think>\nfalse").relevant is False
