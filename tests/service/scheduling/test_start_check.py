"""A wrong template, swapped words and an untrained model are found at start, before a caller trusts a score."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat
from service.engine import Engine
from service.engines.loading import build_engine
from service.errors import UnfitModelError
from service.models.store import resolve
from service.scheduling.start_check import LEAST_MASS, StartCheck
from service.settings import Settings
from tests.fakes import ScriptedEngine
from tests.service.trained_model import save_trained_model

TRAINED = NAMED_FORMATS["qwen3-reranker"]
WRONG = {
    "swapped words": replace(TRAINED, name="swapped", true_words=("no",), false_words=("yes",)),
    "other words": replace(TRAINED, name="other-words", true_words=("Yes",), false_words=("No",)),
    "an open think block": replace(TRAINED, name="open", prompt=(*TRAINED.prompt[:-1], "<|im_end|>\n<think>")),
    "no template": replace(TRAINED, name="bare", prompt=("{query}\n", "{document}"), default_instruction=None),
    "zerank's": replace(NAMED_FORMATS["zerank"], true_words=("yes",), false_words=("no",)),
    "limrank's": replace(
        NAMED_FORMATS["limrank"], close="", open="", true_words=(" true",), false_words=(" false",), labels=None
    ),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_trained_model(tmp_path_factory.mktemp("trained") / "model", TRAINED)


@asynccontextmanager
async def served(model: Path, prompt_format: PromptFormat, folder: Path) -> AsyncIterator[Engine]:
    file = folder / "format.yaml"
    file.write_text(yaml.safe_dump(prompt_format.to_json()))
    engine = build_engine(
        Settings(engine="transformers", dtype="float32"), resolve(str(model), prompt_format=str(file))
    )
    try:
        yield engine
    finally:
        await engine.close()


async def test_the_model_passes_with_the_template_it_was_trained_on(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(model, TRAINED, tmp_path) as engine:
        check = StartCheck(engine, strict=True)
        await check.run()
    assert check.result is not None
    assert check.result.to_json()["passed"] is True
    assert check.result.label_mass is not None
    assert check.result.label_mass > 0.9
    assert not [record for record in caplog.records if record.name == "limrank.start_check"]


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_others_do_wrong_is_found(
    wrong: str, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(model, WRONG[wrong], tmp_path) as engine:
        check = StartCheck(engine, strict=False)
        await check.run()
        assert check.failed
        assert check.result is not None
        assert check.result.to_json()["problems"]
        with pytest.raises(UnfitModelError, match=r"--format"):
            await StartCheck(engine, strict=True).run()
    assert "model_suspect" in [record.message for record in caplog.records if record.levelno == logging.WARNING]


async def test_swapped_words_are_an_order_and_other_words_a_mass(model: Path, tmp_path: Path) -> None:
    """Each of the two signs alone is enough: swapped words keep the mass, other words may keep the order."""
    async with served(model, WRONG["swapped words"], tmp_path) as engine:
        swapped = StartCheck(engine, strict=False)
        await swapped.run()
    async with served(model, WRONG["other words"], tmp_path) as engine:
        other = StartCheck(engine, strict=False)
        await other.run()
    assert swapped.result is not None
    assert other.result is not None
    assert swapped.result.relevant < swapped.result.other
    assert (swapped.result.label_mass or 0) > 0.9
    assert (other.result.label_mass or 0) < LEAST_MASS


async def test_an_engine_without_a_mass_is_checked_by_its_order() -> None:
    right = StartCheck(ScriptedEngine(log_odds=lambda query, passage: float("antiviral" in passage)), strict=True)
    await right.run()
    assert not right.failed
    wrong = StartCheck(ScriptedEngine(log_odds=lambda query, passage: -float("antiviral" in passage)), strict=False)
    await wrong.run()
    assert wrong.failed
    same = StartCheck(ScriptedEngine(log_odds=lambda query, passage: 0.0), strict=False)
    await same.run()
    assert same.failed
