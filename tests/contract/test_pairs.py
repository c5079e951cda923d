"""Pairs for a cross-encoder: the tokenizer's own frame, user text as data, and a cut that is the passage's alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from contract.pairs import PairEncoder
from contract.prompt import ContractError
from tests.tokenizers import minilm_tokenizer

LONG = "one two three four five six seven eight nine ten " * 400


def encoder(max_tokens: int = 64) -> PairEncoder:
    return PairEncoder(minilm_tokenizer(), max_tokens)


@given(st.text(max_size=60), st.text(max_size=200))
@settings(deadline=None, max_examples=60)
def test_text_without_special_strings_is_framed_as_the_tokenizer_does_it(query: str, passage: str) -> None:
    made = encoder(2000).pairs(encoder(2000).query_ids(query), [passage])[0]
    reference = minilm_tokenizer().encode(query, passage)
    assert (list(made.ids), made.type_ids, made.truncated) == (reference.ids, reference.type_ids, False)


def test_an_instruction_stands_after_the_query() -> None:
    assert encoder().query_ids("flu", "only cures count") == encoder().query_ids("flu only cures count")


@pytest.mark.parametrize("cut_left", [False, True])
def test_a_long_passage_is_cut_at_the_end_asked_for_and_says_so(cut_left: bool) -> None:
    query = encoder().query_ids("count")
    whole = minilm_tokenizer().encode(LONG, add_special_tokens=False).ids
    made = encoder().pairs(query, [LONG], cut_left=cut_left)[0]
    kept = list(made.ids[made.second : -1])
    assert made.truncated
    assert len(made.ids) == 64
    assert kept == (whole[-len(kept) :] if cut_left else whole[: len(kept)])


def test_a_limit_on_the_passage_holds_also_at_nothing() -> None:
    query = encoder().query_ids("count")
    for limit in (0, 1, 5):
        made = encoder().pairs(query, [LONG], limit)[0]
        assert len(made.ids) == len(query) + 3 + limit
        assert made.truncated


def test_special_strings_of_the_tokenizer_stay_text() -> None:
    made = encoder().pairs(encoder().query_ids("a [SEP] b"), ["[CLS] c [SEP] [PAD] d"])[0]
    special = [minilm_tokenizer().token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]")]
    assert [made.ids.count(one) for one in special] == [1, 2, 0]


def test_added_words_that_are_not_special_are_encoded_as_the_tokenizer_does_it() -> None:
    """A domain's own words, one character and a phrase among them; only control strings are broken up."""
    tokenizer = Tokenizer.from_str(minilm_tokenizer().to_str())
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("COVID-19", "\N{PILL}", "heart failure")])
    made = PairEncoder(tokenizer, 200)
    query, passage = "what is COVID-19?", "A \N{PILL} against heart failure, not COVID-19"
    found = made.pairs(made.query_ids(query), [passage])[0]
    assert list(found.ids) == tokenizer.encode(query, passage).ids
    assert found.ids.count(tokenizer.token_to_id("COVID-19")) == 2


def test_a_query_that_does_not_fit_is_an_error_and_never_cut() -> None:
    query = encoder().query_ids(LONG)
    assert encoder().room(query) < 0
    with pytest.raises(ValueError, match="does not fit into 64"):
        encoder().pairs(query, ["passage"])


def test_a_tokenizer_that_cannot_hold_pairs_apart_is_refused() -> None:
    turned = Tokenizer(WordLevel({"query": 0, "passage": 1}))
    turned.post_processor = TemplateProcessing(single="$A", pair="$B $A", special_tokens=[])
    with pytest.raises(ContractError, match="do not stand apart"):
        PairEncoder(turned, 10)
