"""Every named format on the real vLLM gives its reference's score on a random model of its own architecture.

One engine for each architecture, one after the other; one-word formats need one in the mode of raw logits. The others
need probabilities, for `label_mass`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract.segments import Segments
from tests.contract.formats.random_texts import inputs
from tests.contract.formats.references import NAMED, Named, tokenizer_named
from tests.service.engines.expected_scores import expected_grade, expected_raw
from tests.service.engines.tiny_models import PlainLogits, save_tiny_model
from tests.service.engines.transformers.test_formats import architecture_of, tokenizer_of
from tests.service.engines.vllm.formats_process import FormatsProcess, formats_process
from tests.service.engines.vllm.serving import require_vllm

TOLERANCE = 1e-3


def one_word(named: Named) -> bool:
    return bool(named.prompt_format.true_words) and not named.prompt_format.false_words


@dataclass(frozen=True)
class Kind:
    """What formats share an engine by."""

    architecture: str
    tokenizer: str
    logits: bool

    def __str__(self) -> str:
        return f"{self.architecture}{'-logits' if self.logits else ''}"


@dataclass(frozen=True)
class Running:
    """An engine, the folder of its model, and the formats that are asked of it."""

    engine: FormatsProcess
    folder: Path
    formats: list[Named]


def kind_of(named: Named) -> Kind:
    return Kind(architecture_of(named), tokenizer_of(named), one_word(named))


KINDS = list(dict.fromkeys(kind_of(named) for named in NAMED))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """pytest runs the tests of one kind after another, so that only one engine lives at a time."""
    require_vllm()
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp(str(kind)) / "model"
    # Head sizes that vLLM has kernels for; it takes Qwen2's from the width.
    width = {"hidden_size": 4 * 64} if kind.architecture == "qwen2" else {}
    save_tiny_model(folder, kind.architecture, tokenizer_named(kind.tokenizer), head_dim=64, **width)
    own = [named for named in NAMED if kind_of(named) == kind]
    with formats_process(folder, own[0].format, folder.parent / "vllm.log", logits=kind.logits) as engine:
        yield Running(engine, folder, own)


@pytest.mark.timeout(600)
def test_scores_are_the_references(running: Running) -> None:
    for named in running.formats:
        compare(named, running)


def compare(named: Named, running: Running) -> None:
    tokenizer, plain = tokenizer_named(tokenizer_of(named)), PlainLogits(running.folder)
    closing = Segments(named.prompt_format, tokenizer).closing
    query, _, instruction = inputs(seed=5, count=3)[2]
    documents = [document for _, document, _ in inputs(seed=11, count=4)]
    asked = {"format": named.format, "tokenizer": tokenizer_of(named), "budget": 0}
    found = running.engine.ask(**asked, query=query, documents=documents, instruction=instruction or None)
    for document, scored in zip(documents, found, strict=True):
        ids = [*named.reference(tokenizer, query, document, instruction), *closing]
        expected = expected_raw(named.format, plain, tokenizer, ids)
        assert scored["raw"] == pytest.approx(expected, abs=TOLERANCE), named.format
        assert (scored["mass"] is None) == one_word(named)
    if named.format == "erank":
        reads_its_grade_behind_its_own_thinking(named, running)


def reads_its_grade_behind_its_own_thinking(named: Named, running: Running) -> None:
    tokenizer, plain = tokenizer_named(tokenizer_of(named)), PlainLogits(running.folder)
    segments = Segments(named.prompt_format, tokenizer)
    asked = {"format": named.format, "tokenizer": tokenizer_of(named), "budget": 5, "instruction": None}
    documents = ["Fats are lipids.", "Steam.\n"]
    found = running.engine.ask(**asked, query="lipids", documents=documents)
    for document, scored in zip(documents, found, strict=True):
        ids = segments.context_after(named.reference(tokenizer, "lipids", document, None), scored["written"])
        assert scored["raw"] == pytest.approx(expected_grade(named.format, plain, tokenizer, ids), abs=TOLERANCE)
