"""Every named format on the real vLLM gives its reference's score; two engines for all of them.

One-word formats need the engine in the mode of raw logits. The others need probabilities, for `label_mass`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.segments import Segments
from tests.contract.formats.random_texts import inputs
from tests.contract.formats.references import NAMED, Named, tokenizer_named
from tests.service.engines.expected_scores import expected_grade, expected_raw
from tests.service.engines.tiny_models import PlainLogits, save_tiny_model
from tests.service.engines.vllm.formats_process import FormatsProcess, formats_process
from tests.service.engines.vllm.serving import require_vllm

TOLERANCE = 1e-3
WORDS = [named for named in NAMED if named.prompt_format.false_words or named.prompt_format.grades]
ONE_WORD = [named for named in NAMED if named not in WORDS]


def tokenizer_of(named: Named) -> str:
    return "qwen3-like" if "qwen3-like" in named.tokenizers else named.tokenizers[0]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary that holds the ids of all tokenizers here; head sizes that vLLM has kernels for."""
    folder = tmp_path_factory.mktemp("gemma") / "model"
    return save_tiny_model(folder, "gemma", tokenizer_named("gemma"), head_dim=64)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen3") / "model"
    return save_tiny_model(folder, "qwen3", tokenizer_named("gemma"), head_dim=64)


@pytest.fixture(scope="module")
def probabilities(qwen3: Path) -> Iterator[FormatsProcess]:
    require_vllm()
    with formats_process(qwen3, qwen3.parent / "vllm.log", logits=False) as running:
        yield running


@pytest.fixture(scope="module")
def logits(gemma: Path) -> Iterator[FormatsProcess]:
    require_vllm()
    with formats_process(gemma, gemma.parent / "vllm.log", logits=True) as running:
        yield running


def compare(named: Named, running: FormatsProcess, folder: Path) -> None:
    tokenizer, plain = tokenizer_named(tokenizer_of(named)), PlainLogits(folder)
    closing = Segments(named.prompt_format, tokenizer).closing
    query, _, instruction = inputs(seed=5, count=3)[2]
    documents = [document for _, document, _ in inputs(seed=11, count=4)]
    asked = {"format": named.format, "tokenizer": tokenizer_of(named), "budget": 0}
    found = running.ask(**asked, query=query, documents=documents, instruction=instruction or None)
    for document, scored in zip(documents, found, strict=True):
        ids = [*named.reference(tokenizer, query, document, instruction), *closing]
        assert scored["raw"] == pytest.approx(expected_raw(named.format, plain, tokenizer, ids), abs=TOLERANCE)
        assert (scored["mass"] is None) == (named in ONE_WORD)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("named", WORDS, ids=[named.format for named in WORDS])
def test_scores_of_words_and_grades_are_the_references(
    named: Named, probabilities: FormatsProcess, qwen3: Path
) -> None:
    compare(named, probabilities, qwen3)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("named", ONE_WORD, ids=[named.format for named in ONE_WORD])
def test_scores_of_one_word_are_the_references(named: Named, logits: FormatsProcess, gemma: Path) -> None:
    compare(named, logits, gemma)


@pytest.mark.timeout(600)
def test_erank_reads_its_grade_behind_its_own_thinking(probabilities: FormatsProcess, qwen3: Path) -> None:
    named = next(each for each in NAMED if each.format == "erank")
    tokenizer, plain = tokenizer_named("qwen3-like"), PlainLogits(qwen3)
    segments = Segments(named.prompt_format, tokenizer)
    asked = {"format": "erank", "tokenizer": "qwen3-like", "budget": 5, "instruction": None}
    documents = ["Fats are lipids.", "Steam.\n"]
    for document, scored in zip(
        documents, probabilities.ask(**asked, query="lipids", documents=documents), strict=True
    ):
        ids = segments.context_after(named.reference(tokenizer, "lipids", document, None), scored["written"])
        assert scored["raw"] == pytest.approx(expected_grade("erank", plain, tokenizer, ids), abs=TOLERANCE)
