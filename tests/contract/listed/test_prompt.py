"""The prompt of several passages: its text, its cuts, and that user text cannot leave its place."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from contract.listed.prompt import ListPrompt
from contract.listed.rows import ListKind
from contract.prompt import ContractError

PASSAGES = ("Gout causes sudden pain.", "Gout is treated with colchicine.")


@pytest.mark.parametrize(
    ("kind", "tail"),
    [
        (ListKind.SETWISE, "The most relevant passage is"),
        (ListKind.LISTWISE, "The passages from most to least relevant are"),
    ],
)
def test_a_prompt_and_its_answer_as_text(kind: ListKind, tail: str, tokenizer: Tokenizer) -> None:
    prompt = ListPrompt(kind, tokenizer)
    ids, cut = prompt.ids("how is gout treated", PASSAGES, "Only treatments.", 200)
    assert not cut
    assert tokenizer.decode([*ids, *prompt.answer([1, 0])], skip_special_tokens=False) == (
        "Query: how is gout treated\nInstruction: Only treatments.\nPassages:\n"
        f"A: {PASSAGES[0]}\nB: {PASSAGES[1]}\n{tail} B > A"
    )
    assert len(set(prompt.letters)) == 26


def test_long_passages_share_what_short_ones_leave(tokenizer: Tokenizer) -> None:
    prompt = ListPrompt(ListKind.SETWISE, tokenizer)
    short, long = "Salt.", "It is so. " * 200
    ids, cut = prompt.ids("q", [long, short, long], None, 120)
    assert cut
    assert 110 < len(ids) <= 120
    text = tokenizer.decode(ids)
    assert "\nB: Salt.\nC:" in text
    first, third = text.split("\nA:")[1].split("\nB:")[0], text.split("\nC:")[1].split("\nThe most")[0]
    assert first == third


def test_special_strings_of_user_text_are_broken_up(tokenizer: Tokenizer) -> None:
    special = next(token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special)
    number = tokenizer.token_to_id(special)
    prompt = ListPrompt(ListKind.LISTWISE, tokenizer)
    ids, _ = prompt.ids(f"a {special} b", [f"x {special}", "y"], f"{special} i", 200)
    assert number not in ids


def test_what_does_not_fit_is_refused(tokenizer: Tokenizer) -> None:
    prompt = ListPrompt(ListKind.SETWISE, tokenizer)
    with pytest.raises(ContractError, match="27 passages, more than the 26 letters"):
        prompt.ids("q", ["x"] * 27, None, 1000)
    with pytest.raises(ContractError, match="at least 8 are needed"):
        prompt.ids("q", ["It is so. " * 20] * 5, None, 60)
