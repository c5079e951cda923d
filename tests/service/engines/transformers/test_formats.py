"""Every named format, scored by the transformers engine, gives its reference's score on a random model."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from contract.segments import Segments
from service.engine import Engine, Scoring
from service.engines.loading import build_engine
from service.errors import EngineFailed
from service.models.store import resolve
from service.settings import Settings
from tests.contract.formats.random_texts import inputs
from tests.contract.formats.references import NAMED, Named, tokenizer_named
from tests.seam import Job, completions, prompts_of, score
from tests.service.engines.expected_scores import expected_grade, expected_raw
from tests.service.engines.tiny_models import PlainLogits, save_tiny_model

ARCHITECTURES = {"bge-reranker-v2-gemma": "gemma", "followir-7b": "mistral"}
TOLERANCE = 1e-3


def architecture_of(named: Named) -> str:
    return ARCHITECTURES.get(named.format, "qwen2" if named.tokenizers[0] == "qwen2.5" else "qwen3")


def tokenizer_of(named: Named) -> str:
    """Of Qwen's the small one: that the ids are right is shown with the whole one in `tests/contract/formats`."""
    qwen = {"qwen2.5", "qwen3-like"} & set(named.tokenizers)
    return "small-qwen3-like" if qwen else named.tokenizers[0]


@asynccontextmanager
async def serving(folder: Path, named: Named) -> AsyncIterator[Engine]:
    checkpoint = resolve(str(folder), prompt_format=named.format)
    engine = build_engine(Settings(engine="transformers", dtype="float32"), checkpoint)
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Folders by architecture and tokenizer; formats that share both share one."""
    return {}


def model_for(named: Named, models: dict[tuple[str, str], Path], folder: Path) -> Path:
    key = (architecture_of(named), tokenizer_of(named))
    if key not in models:
        models[key] = save_tiny_model(folder / "model", key[0], tokenizer_named(key[1]))
    return models[key]


@pytest.mark.parametrize("named", NAMED, ids=[named.format for named in NAMED])
async def test_scores_are_the_references(
    named: Named, models: dict[tuple[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokenizer = tokenizer_named(tokenizer_of(named))
    folder = model_for(named, models, tmp_path_factory.mktemp(named.format))
    plain = PlainLogits(folder)
    closing = Segments(named.prompt_format, tokenizer).closing
    async with serving(folder, named) as engine:
        for number, (query, _, instruction) in enumerate(inputs(seed=5, count=3)):
            documents = tuple(document for _, document, _ in inputs(seed=10 + number, count=4))
            verdicts = await score(engine, Job(f"call {number}", query, documents, instruction or None))
            for document, verdict in zip(documents, verdicts, strict=True):
                ids = [*named.reference(tokenizer, query, document, instruction), *closing]
                expected = expected_raw(named.format, plain, tokenizer, ids)
                assert verdict.log_odds == pytest.approx(expected, abs=TOLERANCE)
                assert 0 <= verdict.relevance <= 1
                if named.prompt_format.grades:
                    highest = max(value for _, value in named.prompt_format.grades)
                    assert verdict.relevance == pytest.approx(verdict.log_odds / highest)
                else:
                    assert verdict.relevance == pytest.approx(1 / (1 + math.exp(-verdict.log_odds)))
                one_word = bool(named.prompt_format.true_words) and not named.prompt_format.false_words
                assert (verdict.label_mass is None) == one_word
                if verdict.label_mass is not None:
                    read = engine.encoder.answers
                    assert verdict.label_mass == pytest.approx(
                        float(plain.probabilities(ids)[list(read)].sum()), rel=1e-3, abs=1e-9
                    )


async def test_erank_reads_its_grade_behind_its_own_thinking(tmp_path: Path) -> None:
    """The trace is what the model wrote; tag and `<answer>` stand behind it, and "10" is read in a second place."""
    named = next(each for each in NAMED if each.format == "erank")
    tokenizer = tokenizer_named("small-qwen3-like")
    folder = save_tiny_model(tmp_path / "model", "qwen3", tokenizer)
    plain = PlainLogits(folder)
    segments = Segments(named.prompt_format, tokenizer)
    async with serving(folder, named) as engine:
        job = Job("call", "what is a lipid?", ("Fats are lipids.", "Steam.\n"), "Definitions only.")
        prompts = await prompts_of(engine, job, budget=6)
        found = await completions(engine, prompts)
        for prompt, document, completion in zip(prompts, job.passages, found, strict=True):
            reference = named.reference(tokenizer, job.query, document, job.instruction)
            assert [*prompt.prefix, *prompt.rest] == reference
            assert completion.reasoning_tokens > 0
            ids = segments.context_after(reference, completion.written)
            scored = engine.encoder.reading.score(completion.answers, 1.0)
            assert scored.raw == pytest.approx(expected_grade("erank", plain, tokenizer, ids), abs=TOLERANCE)


async def test_formats_without_a_think_tag_have_the_direct_mode_only(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", "qwen3", tokenizer_named("small-qwen3-like"))
    for named in NAMED:
        if "qwen3-like" in named.tokenizers:
            async with serving(folder, named) as engine:
                assert (Scoring.REASONING in engine.capabilities.scoring) == (named.format == "erank")


async def test_a_grade_that_cannot_be_read_fails_its_passage_alone(tmp_path: Path) -> None:
    named = next(each for each in NAMED if each.format == "erank")
    folder = save_tiny_model(tmp_path / "model", "qwen3", tokenizer_named("small-qwen3-like"))
    async with serving(folder, named) as engine:
        prompts = await prompts_of(engine, Job("call", "query", ("one", "two", "three")))
        prompts[1] = replace(prompts[1], rest=[10**7])  # no token of the model
        with pytest.raises(EngineFailed) as failure:
            await completions(engine, [prompts[1]])
        assert failure.value.indices == (0,)
        assert len(await completions(engine, [prompts[0], prompts[2]])) == 2
