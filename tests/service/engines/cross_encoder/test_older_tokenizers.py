"""A folder without tokenizer.json is served with the tokenizer that transformers makes of its older files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder

from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.errors import ModelStoreError
from service.main import run
from service.models.checkpoint import open_checkpoint
from tests.contract.formats.references import qwen3_reranker, tokenizer_named
from tests.seam import Job, score
from tests.service.engines.cross_encoder.older_tokenizers import OLDER, write_older
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.service.engines.tiny_models import save_tiny_model

QUERIES = ("how is the flu treated", "Query: what is a passage?", "痛風 治療", "naïve café\n3.5% it's")
PASSAGES = (
    "rest, fluids and drugs help",
    "the first railway opened in 1825",
    "",
    "寿司 re-read — document: x",
    "flu\nflu",
)


@pytest.mark.parametrize("family", OLDER)
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")  # of SentencePiece's own types
async def test_its_scores_are_those_of_the_library(family: str, tmp_path: Path) -> None:
    folder = write_older(tmp_path / family, family)
    before = sorted(path.name for path in folder.iterdir())
    library = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    checkpoint = open_checkpoint(folder, family)
    engine = CrossEncoderEngine.load(checkpoint, dtype="float32")
    seen = []
    try:
        for query in QUERIES:
            pairs = [(query, passage) for passage in PASSAGES]
            expected = library.predict(pairs, activation_fn=torch.nn.Identity(), batch_size=1)
            found = await score(engine, Job(query, query, PASSAGES))
            assert [verdict.log_odds for verdict in found] == pytest.approx(expected.tolist(), abs=1e-4)
            seen += expected.tolist()
    finally:
        await engine.close()
    assert len({round(each, 3) for each in seen}) > 10, "the tokenizer tells the texts apart"
    assert sorted(path.name for path in folder.iterdir()) == before, "nothing is written beside the model"
    assert checkpoint.manifest.tokenizer_sha256 == open_checkpoint(folder, family).manifest.tokenizer_sha256


def test_a_causal_model_too(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "Qwen3-Reranker-0.6B", "qwen3", tokenizer_named("qwen3-like"))
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]), encoding="utf-8")
    merges = [each if isinstance(each, str) else " ".join(each) for each in whole["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    added = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in whole["added_tokens"]}
    config = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    checkpoint = open_checkpoint(folder, folder.name, weights=False)
    assert checkpoint.manifest.verdict_tokens is not None
    assert (checkpoint.manifest.verdict_tokens.true, checkpoint.manifest.verdict_tokens.false) == (9693, 2152)
    made, texts = checkpoint.tokenizer(), ("what is a lipid?", "Fats.\n光合作用", "Definitions.")
    assert qwen3_reranker(made, *texts) == qwen3_reranker(tokenizer_named("qwen3-like"), *texts)


def test_inspect_shows_the_pair_of_such_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_older(tmp_path / "bert", "bert")
    capsys.readouterr()
    assert run(["inspect", str(folder)], {}) == 0
    assert "[CLS] what is a lipid? [SEP] lipids are fats. [SEP]\n    ids: 101 2054 2003 " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("family", "keep", "said"),
    [
        ("bert", {}, r"has no tokenizer\.json, and transformers makes none of its other files"),
        ("bert", {"tokenizer_config.json": "{}"}, r"BertTokenizer needs vocab\.txt|transformers makes none"),
        ("bert", {"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlipid\n"}, r"hold 6 tokens of the 30522"),
        ("roberta", {"vocab.json": "{}"}, r"transformers makes none of its other files"),
        ("xlm-roberta", {"sentencepiece.bpe.model": "no model"}, r"transformers makes none of its other files"),
        ("bert", {"reranker.json": "{}"}, r"restore the one that its reranker\.json belongs to"),
        (
            "bert",
            {"tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["own.Own", null]}, "tokenizer_class": "Own"}'},
            r"transformers makes none of its other files",
        ),
    ],
)
def test_a_folder_with_no_tokenizer_at_all_is_refused(
    family: str, keep: dict[str, str], said: str, tmp_path: Path
) -> None:
    folder = write_classifier(tmp_path / family, family)
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    for name, content in keep.items():
        (folder / name).write_text(content)
    with pytest.raises(ModelStoreError, match=said) as refusal:
        open_checkpoint(folder, family)
    assert "\n" not in str(refusal.value)
