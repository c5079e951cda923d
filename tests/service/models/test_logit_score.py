"""A folder with Sentence Transformers' LogitScore files is served as the library itself scores it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder

from contract.segments import Segments
from service.engines.loading import build_engine
from service.errors import ModelStoreError
from service.models.store import resolve
from service.settings import Settings
from tests.contract.formats.random_texts import inputs
from tests.seam import Job, score
from tests.service.models import logit_score_folders as folders
from tests.service.models.logit_score_folders import save_logit_score
from tests.tokenizers import small_qwen3_like_tokenizer

CASES: dict[str, tuple[str, tuple[str, str | None], str | None]] = {
    "qwen3": (folders.QWEN3, ("yes", "no"), "Given a query, retrieve passages."),
    "own-line": (folders.OWN_LINE, ("1", "0"), None),
    "zerank": (folders.ZERANK, ("Yes", None), None),
    "document-first": (folders.DOCUMENT_FIRST, ("!", None), None),
    "loop": (folders.LOOP, ("Ġtrue", "Ġfalse"), None),
}


@pytest.mark.parametrize("name", CASES)
async def test_scores_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    template, words, prompt = CASES[name]
    tokenizer = small_qwen3_like_tokenizer()
    folder = save_logit_score(tmp_path / "their-reranker", tokenizer, template, words, prompt=prompt)
    library: Any = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}, local_files_only=True)
    checkpoint = resolve(str(folder))
    assert checkpoint.format_source == "the LogitScore files in its folder"
    engine = build_engine(Settings(engine="transformers", dtype="float32"), checkpoint)
    segments = Segments(checkpoint.manifest.format, engine.encoder._segments.tokenizer)  # type: ignore[arg-type, attr-defined]
    try:
        for number, (query, _, instruction) in enumerate(inputs(seed=21, count=4)):
            stated = (instruction or None) if name in ("qwen3", "own-line") else None
            documents = [each[1] for each in inputs(seed=30 + number, count=6)]
            texts = [query, stated or "", *documents]
            if any(segments.prompt.control_string(text) for text in texts):
                continue
            expected = library.predict(
                [(query, document) for document in documents],
                prompt=stated,
                activation_fn=torch.nn.Identity(),
            )
            verdicts = await score(engine, Job(f"{number}", query, tuple(documents), stated))
            assert [verdict.log_odds for verdict in verdicts] == pytest.approx(expected.tolist(), abs=1e-3)
    finally:
        await engine.close()


def test_the_folder_of_a_query_first_template_shares_a_prefix(tmp_path: Path) -> None:
    """Only a template with the document first leaves nothing of the query to share."""
    tokenizer = small_qwen3_like_tokenizer()
    for name, (template, words, prompt) in CASES.items():
        folder = save_logit_score(tmp_path / name, tokenizer, template, words, prompt=prompt)
        prompt_format = resolve(str(folder)).manifest.format
        assert prompt_format is not None
        prefix = Segments(prompt_format, tokenizer).prompt.prefix("lipids")
        assert ("lipids" in tokenizer.decode(prefix, skip_special_tokens=False)) == (name != "document-first"), name


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (folders.CHAT_ONLY, r"writes the query 0 times.*no loop over user messages"),
        (folders.TWICE, r"writes the document 2 times"),
        (folders.TRIMS, r"changes texts or branches by them"),
        (folders.BRANCHES, r"changes texts or branches by them"),
        (folders.RAISES, r"cannot be rendered for a query and a document"),
    ],
    ids=["chat-only", "twice", "trims", "branches", "raises"],
)
def test_a_template_that_cannot_be_cut_is_refused_with_the_reason(template: str, said: str, tmp_path: Path) -> None:
    folder = save_logit_score(tmp_path / "model", small_qwen3_like_tokenizer(), template, ("yes", "no"))
    with pytest.raises(ModelStoreError, match=said) as refusal:
        resolve(str(folder))
    assert "\n" not in str(refusal.value)


def change(file: str, **values: Any) -> Any:
    def damage(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (change("1_LogitScore/config.json", true_token_id=10**7), "true_token_id of its LogitScore is 10000000"),
        (change("1_LogitScore/config.json", true_token_id=None), "true_token_id of its LogitScore is None"),
        (change("sentence_bert_config.json", transformer_task="feature-extraction"), "task 'feature-extraction'"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), r"has no chat_template\.jinja"),
        (lambda folder: (folder / "1_LogitScore/config.json").write_text("{"), "is not JSON"),
    ],
    ids=["no-such-id", "no-id", "task", "no-template", "not-json"],
)
def test_files_that_do_not_fit_are_refused(damage: Any, said: str, tmp_path: Path) -> None:
    folder = save_logit_score(tmp_path / "model", small_qwen3_like_tokenizer(), folders.ZERANK, ("Yes", None))
    damage(folder)
    with pytest.raises(ModelStoreError, match=said):
        resolve(str(folder))
