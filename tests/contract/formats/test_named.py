"""Every named format has the ids of its maker's description, and its special ids never stand in user text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer

from contract.formats.model_names import format_by_name
from contract.formats.named import NAMED_FORMATS
from contract.prompt import PromptEncoder
from contract.segments import Segments
from contract.truncation import PassageFitter
from contract.verdict import GradedReading, WordReading
from tests.contract.formats.random_texts import inputs
from tests.contract.formats.references import NAMED, Named, tokenizer_named

CASES = [pytest.param(named, name, id=f"{named.format}-{name}") for named in NAMED for name in named.tokenizers]


def ids_of(encoder: PromptEncoder, query: str, document: str, instruction: str | None) -> list[int]:
    behind = encoder.behind(query, instruction)
    return [*encoder.prefix(query, instruction), *encoder.rests([document], behind)[0]]


def test_every_named_format_is_proven_here() -> None:
    assert {named.format for named in NAMED} == set(NAMED_FORMATS)


@pytest.mark.parametrize(("named", "tokenizer_name"), CASES)
def test_ids_are_those_of_the_makers_description(named: Named, tokenizer_name: str) -> None:
    tokenizer = tokenizer_named(tokenizer_name)
    encoder = PromptEncoder(named.prompt_format, tokenizer)
    compared = 0
    for query, document, instruction in inputs(seed=1):
        texts = (query, document, instruction or "")
        if any(encoder.control_string(text) for text in texts):
            continue
        compared += 1
        assert ids_of(encoder, query, document, instruction) == named.reference(
            tokenizer, query, document, instruction
        ), (query, document, instruction)
    assert compared == 200, "the inputs hold no control strings"


@pytest.mark.parametrize(("named", "tokenizer_name"), CASES)
def test_the_guards_change_is_the_only_difference(named: Named, tokenizer_name: str) -> None:
    tokenizer = tokenizer_named(tokenizer_name)
    encoder = PromptEncoder(named.prompt_format, tokenizer)
    changed = 0
    for query, document, instruction in inputs(seed=2, controls=True):
        bare = [None if text is None else encoder.bare(text) for text in (query, document, instruction)]
        changed += bare != [query, document, instruction]
        expected = named.reference(tokenizer, bare[0] or "", bare[1] or "", bare[2])
        assert ids_of(encoder, query, document, instruction) == expected
    assert changed > 50


@pytest.mark.parametrize(("named", "tokenizer_name"), CASES)
def test_special_ids_never_come_from_user_text(named: Named, tokenizer_name: str) -> None:
    """As many of each as an empty query and passage leave: those of the wrapper."""
    tokenizer = tokenizer_named(tokenizer_name)
    encoder = PromptEncoder(named.prompt_format, tokenizer)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= {i for text in named.wrapper if (i := tokenizer.token_to_id(text)) is not None}
    assert len(special) >= len(named.wrapper) > 0 or named.format == "limrank"
    for query, document, instruction in inputs(seed=3, controls=True):
        wrapper = ids_of(encoder, "", "", "x" if instruction else None)
        found = ids_of(encoder, query, document, instruction)
        assert [i for i in found if i in special] == [i for i in wrapper if i in special]


def test_an_added_token_that_is_not_special_is_left_as_it_is() -> None:
    """The references encode it as one token too; LimRank's guard, which is older, breaks it up."""
    tokenizer = tokenizer_named("qwen3-like")
    assert PromptEncoder(NAMED_FORMATS["zerank"], tokenizer).bare("<tool_call>") == "<tool_call>"
    assert PromptEncoder(NAMED_FORMATS["limrank"], tokenizer).bare("<tool_call>") == "< tool_call >"


@pytest.mark.parametrize(
    ("name", "tokenizer_name", "text", "expected"),
    [
        ("followir-7b", "mistral", "naïve <s> x", "naïve < s > x"),
        ("followir-7b", "mistral", "痛風[/INST]", "痛風[ /INST ]"),
        ("bge-reranker-v2-gemma", "gemma", "痛風 <bos><eos>", "痛風 < bos >< eos >"),
        ("qwen3-reranker", "qwen3-like", "e\u0301 <|im_end|> 日", "e\u0301 < |im_end| > 日"),
        ("zerank", "qwen3-like", "é<|im_<|im_end|>end|>", "é<|im_< |im_end| >end|>"),
    ],
)
def test_only_the_control_string_changes_in_text_of_any_script(
    name: str, tokenizer_name: str, text: str, expected: str
) -> None:
    """And not the rest into the tokenizer's normal form, where Mistral's has a space more."""
    encoder = PromptEncoder(NAMED_FORMATS[name], tokenizer_named(tokenizer_name))
    assert encoder.bare(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen3-reranker", ((9693,), (2152,))),
        ("zerank", ((9454,), ())),
        ("limrank", ((830,), (895,))),
        ("mxbai-rerank-base-v2", ((16,), (15,))),
    ],
)
def test_words_of_qwens_vocabulary(name: str, expected: tuple[Any, Any]) -> None:
    reading = Segments(NAMED_FORMATS[name], tokenizer_named("qwen3-like")).reading
    assert isinstance(reading, WordReading)
    assert (reading.true, reading.false) == expected


@pytest.mark.parametrize(
    ("name", "tokenizer_name", "pieces"),
    [("followir-7b", "mistral", ["true", "false"]), ("bge-reranker-v2-gemma", "gemma", ["Yes"])],
)
def test_words_of_other_vocabularies(name: str, tokenizer_name: str, pieces: Sequence[str]) -> None:
    tokenizer = tokenizer_named(tokenizer_name)
    (read,) = Segments(NAMED_FORMATS[name], tokenizer).reading.reads
    assert [tokenizer.id_to_token(i) for i in read.answers] == pieces


def test_where_grades_are_read() -> None:
    tokenizer = tokenizer_named("qwen3-like")

    def places(name: str) -> list[tuple[str, list[str]]]:
        reading = Segments(NAMED_FORMATS[name], tokenizer).reading
        assert isinstance(reading, GradedReading)
        return [(tokenizer.decode(list(r.behind)), [tokenizer.decode([i]) for i in r.answers]) for r in reading.reads]

    assert places("erank") == [("", list("0123456789")), ("1", ["0"])]
    assert places("tfrank") == [("", ["no", "yes"]), ("no(", ["0", "1"]), ("yes(", ["2", "3", "4"])]


@pytest.mark.parametrize(("named", "tokenizer_name"), CASES)
def test_only_the_passage_is_cut(named: Named, tokenizer_name: str) -> None:
    encoder = PromptEncoder(named.prompt_format, tokenizer_named(tokenizer_name))
    fitter = PassageFitter(encoder)
    passage = "The cell stores energy in ATP, 2024. " * 30
    behind = encoder.behind("q", None)
    [whole] = encoder.rests([passage], behind)
    least = fitter.tokens_behind(behind)
    for room in (least, least + 7, len(whole) // 2, len(whole) - 1, len(whole)):
        [fitted] = fitter.fit([passage], room, behind=behind)
        assert len(fitted.ids) <= room
        assert fitted.truncated == (room < len(whole))
    [fitted] = fitter.fit([passage], 10**6, 20, behind=behind)
    assert len(fitted.ids) <= 20 + least
    assert len(encoder.passage_offsets("Energy, 20 tokens", behind)) <= 8


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen3-Reranker-0.6B", "qwen3-reranker"),
        ("Qwen3-Reranker-8B", "qwen3-reranker"),
        ("tencent/R3-rerank-0.6b", "qwen3-reranker"),
        ("mixedbread-ai/mxbai-rerank-base-v2", "mxbai-rerank-base-v2"),
        ("mxbai-rerank-large-v2", "mxbai-rerank-large-v2"),
        ("jhu-clsp/FollowIR-7B", "followir-7b"),
        ("BAAI/bge-reranker-v2-gemma", "bge-reranker-v2-gemma"),
        ("zeroentropy/zerank-1-small", "zerank"),
        ("zeroentropy/zerank-2", "zerank"),
        ("jhu-clsp/rank1-7b", "limrank"),
        ("songtingyu/limrank", "limrank"),
        ("ERank-4B", "erank"),
        ("TFRank-0.6B", "tfrank"),
        ("Qwen/Qwen3-VL-Reranker-2B", None),
        ("tomaarsen/Qwen3-Reranker-0.6B-seq-cls", None),
        ("BAAI/bge-reranker-v2.5-gemma2-lightweight", None),
        ("Qwen/Qwen3-0.6B", None),
        ("someone/generank-1", None),
        ("frank1-7b", None),
    ],
)
def test_words_in_a_models_name_resolve_its_format(model: str, name: str | None) -> None:
    found = format_by_name(model)
    assert (None if found is None else found.name) == name


def test_a_prefix_is_shared_by_the_passages_of_a_call() -> None:
    """All but the passage's own piece stands before it: a server computes it once."""
    for named in NAMED:
        tokenizer: Tokenizer = tokenizer_named("qwen3-like" if "qwen3-like" in named.tokenizers else "qwen2.5")
        if named.tokenizers[0] in ("mistral", "gemma"):
            continue
        encoder = PromptEncoder(named.prompt_format, tokenizer)
        prefix, [rest] = encoder.prefix("what is a lipid?"), encoder.rests(["fats"])
        assert "lipid" in tokenizer.decode(prefix, skip_special_tokens=False)
        assert "lipid" not in tokenizer.decode(rest, skip_special_tokens=False)
