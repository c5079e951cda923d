"""A merged causal checkpoint in the real Sentence Transformers: its files are written where they are exact."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForCausalLM

from contract.checkpoint.logit_score_files import chat_template, unwritable
from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import LIMRANK
from contract.formats.seams import random_text
from contract.segments import Segments
from service.models.checkpoint import open_checkpoint
from tests.contract.formats.references import tokenizer_named
from tests.service.engines.tiny_models import save_tiny_model
from tests.trainer.running import sft_flags, train
from trainer.publish.library_files import write_library_files
from trainer.sft.scorer import CausalScorer

FILES = ("modules.json", "chat_template.jinja", "1_LogitScore/config.json", "sentence_bert_config.json")
COUNT = 200


def texts(segments: Segments) -> list[tuple[str, str, str | None]]:
    """Without control strings; every fourth with an instruction."""
    choose = random.Random(17)
    found: list[tuple[str, str, str | None]] = []
    while len(found) < COUNT:
        query, document, instruction = (random_text(choose) for _ in range(3))
        if not any(segments.prompt.control_string(text) for text in (query, document, instruction)):
            found.append((query, document, instruction or None if len(found) % 4 == 0 else None))
    return found


def library_scores(folder: Path, asked: list[tuple[str, str, str | None]], temperature: float = 1.0) -> list[float]:
    """The log-odds of the real library; an instruction is its prompt."""
    model: Any = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}, local_files_only=True)
    identity, found = torch.nn.Identity(), []
    for instruction in dict.fromkeys(instruction for *_, instruction in asked):
        pairs = [(query, document) for query, document, stated in asked if stated == instruction]
        found += model.predict(pairs, prompt=instruction, activation_fn=identity).tolist()
    return [each / temperature for each in found]


@pytest.mark.timeout(300)
def test_merge_writes_them_and_the_library_gives_our_log_odds(
    records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = save_tiny_model(tmp_path / "base", "qwen3", tokenizer_named("qwen3-like"))
    (base / "chat_template.jinja").write_text("{{ 'the base chats' }}")
    train(sft_flags(base, records_file, tmp_path / "run"))
    merged = tmp_path / "merged"
    train(
        [
            *("merge", "--base", str(base), "--adapter", str(tmp_path / "run" / "adapter")),
            *("--out", str(merged), "--dtype", "float32"),
        ]
    )
    assert "Sentence Transformers loads it too" in capsys.readouterr().out
    segments = Segments(LIMRANK, tokenizer_named("qwen3-like"))
    asked = texts(segments)
    found = library_scores(merged, asked)
    scorer = CausalScorer(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32), segments)
    expected = [
        odds
        for instruction in dict.fromkeys(instruction for *_, instruction in asked)
        for query, document, stated in asked
        if stated == instruction
        for odds in scorer.score(query, [document], instruction)
    ]
    assert found == pytest.approx(expected, abs=1e-3)
    assert max(expected) - min(expected) > 0.1
    checkpoint = open_checkpoint(merged, "merged")
    assert checkpoint.format_source == "reranker.json", "the service reads our manifest, not the library's files"


def test_a_tokenizer_that_joins_the_tags_gets_none_and_the_reason(tiny_llama: Path, tmp_path: Path) -> None:
    """SmolLM2's `<think></think>` as one string has other ids than its parts."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_llama.iterdir():
        (folder / path.name).symlink_to(path)
    for name in ("qwen2.5", None):
        tokenizer: Any = tokenizer_named(name) if name else _tokenizer(tiny_llama)
        if name:
            save_tiny_model(tmp_path / name, "qwen2", tokenizer)
        target = tmp_path / name if name else folder
        reason = write_library_files(target, Segments(LIMRANK, tokenizer))
        assert reason is not None
        assert "written as one string the prompt has other ids than in its parts" in reason
        assert "><" in reason or "></" in reason
        assert not any((target / file).exists() for file in FILES)


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tfrank", "answers with a grade"),
        ("erank", "answers with a grade"),
        ("zerank", "not one word against one other"),
        ("bge-reranker-v2-gemma", "not one word against one other"),
        ("mxbai-rerank-base-v2", "a scale or an offset"),
    ],
)
def test_what_the_library_cannot_read_is_said(name: str, reason: str) -> None:
    assert reason in (unwritable(NAMED_FORMATS[name]) or "")


def test_fixed_text_is_never_read_as_a_template() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    strange = 'a "quoted" \\n {{ 1 + 1 }} {% raw %} {# note #} \n\n é 🎉 \''
    prompt_format = type(LIMRANK)(
        name="mine",
        prompt=(f"{strange}{{query}}", f" {{document}}{strange}\n"),
        default_instruction=None,
        true_words=("yes",),
        false_words=("no",),
    )
    render: Any = render_jinja_template
    messages: list[dict[str, Any]] = [
        {"role": role, "content": [{"type": "text", "text": f"<{role}>"}]} for role in ("query", "document")
    ]
    [[text], _] = render([messages], chat_template=chat_template(prompt_format))
    assert text == prompt_format.text("<query>", "<document>")
    stated = [{"role": "system", "content": [{"type": "text", "text": "only"}]}, *messages]
    [[text], _] = render([stated], chat_template=chat_template(prompt_format))
    assert text == prompt_format.text("<query>", "<document>", "only")
