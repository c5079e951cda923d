"""What a cross-encoder reads is what its table of positions holds, whatever family it is of."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    Qwen2Config,
    RobertaConfig,
    XLMRobertaConfig,
)

from contract.checkpoint.manifest import Manifest, tokenizer_sha256
from contract.checkpoint.model_config import config_of
from contract.truncation import position_count
from service.api.app import create_app
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.settings import Settings
from tests.seam import Job, score
from tests.service.serving import serving
from tests.tokenizers import minilm_folder

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "vocab_size": 30522,
    "max_position_embeddings": 66,
    "num_labels": 1,
    "initializer_range": 0.5,
}
SPECIAL = {"bos_token_id": 101, "eos_token_id": 102, "cls_token_id": 101, "sep_token_id": 102, "pad_token_id": 0}
# Each with how many of its 66 positions are for text.
FAMILIES: list[tuple[type[Any], dict[str, Any], int]] = [
    (BertConfig, {}, 66),
    (ElectraConfig, {"embedding_size": 32}, 66),
    (DistilBertConfig, {"dim": 32, "hidden_dim": 64, "n_layers": 1, "n_heads": 4}, 66),
    (AlbertConfig, {"embedding_size": 32}, 66),
    (RobertaConfig, {"pad_token_id": 1}, 64),
    (XLMRobertaConfig, {"pad_token_id": 1}, 64),
    (MPNetConfig, {"pad_token_id": 1}, 64),
    (MPNetConfig, {"pad_token_id": 3}, 64),  # its table knows no other
    (RobertaConfig, {"pad_token_id": 3}, 62),
    (DebertaV2Config, {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, 66),
    (DebertaV2Config, {"relative_attention": True, "position_biased_input": False}, 66),
    (ModernBertConfig, SPECIAL, 66),
    (Qwen2Config, {"num_key_value_heads": 2, "pad_token_id": 0}, 66),
]


def write(folder: Path, config: Any) -> Checkpoint:
    torch.manual_seed(5)
    model: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(minilm_folder() / name, folder / name)
    stated = Manifest("cross-encoder", None, None, tokenizer_sha256(folder), "test", config=config_of(folder))
    stated.write(folder)
    return open_checkpoint(folder, "tiny")


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # by DeBERTa's own code
@pytest.mark.parametrize(("family", "settings", "text"), FAMILIES)
def test_a_passage_is_cut_to_the_positions_that_the_model_has(
    family: type[Any], settings: dict[str, Any], text: int, tmp_path: Path
) -> None:
    async def ask() -> None:
        engine = CrossEncoderEngine.load(write(tmp_path, family(**SIZES | settings)))
        try:
            assert engine.capabilities.max_model_tokens == engine.capabilities.room == text
            for words in (text - 4, text - 5, text - 3, 400):  # [CLS] dog [SEP] ... [SEP]
                cut, bird = await score(engine, Job("one", "dog", ("cat " * words, "bird")))
                assert cut.truncated is (words > text - 4)
                assert cut.prompt_tokens == min(words + 4, text)
                assert cut.log_odds != bird.log_odds
        finally:
            await engine.close()

    asyncio.run(ask())


@pytest.mark.parametrize(("family", "settings", "text"), [each for each in FAMILIES if each[0] is not Qwen2Config][:9])
def test_one_token_more_is_one_too_many_for_the_table(family: type[Any], settings: dict[str, Any], text: int) -> None:
    """Counted against the model itself."""
    model: Any = AutoModelForSequenceClassification.from_config(family(**SIZES | settings))  # type: ignore[no-untyped-call]
    model.eval()
    assert position_count(model) == text
    with torch.inference_mode():
        model(input_ids=torch.full((1, text), 7))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, text + 1), 7))


def test_a_passage_keeps_a_quarter_of_the_room_and_warnings_come_in_a_header(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, RobertaConfig(**SIZES | {"pad_token_id": 1}))  # 64 tokens, 3 of the frame: 16 are kept
    composition = create_app(Settings(), CrossEncoderEngine.load(checkpoint), checkpoint)
    passages = ["cat " * 100, "bird"]
    shapes: dict[str, dict[str, Any]] = {
        "/rerank": {"documents": passages},
        "/v2/rerank": {"documents": passages},
        "/v1/ranking": {"passages": [{"text": text} for text in passages]},
    }
    with serving(composition.app) as url:
        for path, body in (*shapes.items(), ("/rerank", {"texts": passages})):
            nim = "passages" in body
            refusal = 422 if "texts" in body else 400
            for words, status in ((45, 200), (46, refusal), (90, refusal)):
                query: Any = {"text": "dog " * words} if nim else "dog " * words
                answer = httpx.post(f"{url}{path}", json=body | {"query": query})
                assert answer.status_code == status, (path, words, answer.text)
                if status == 200:
                    assert answer.headers["x-warnings"] == "1 of 2 documents were truncated: 0."
                else:
                    assert "shorten the query or the instruction" in answer.text
                    assert "x-warnings" not in answer.headers
        asked = {"query": "dog", "instruction": "dog " * 50, "documents": passages}
        assert httpx.post(f"{url}/rerank", json=asked).status_code == 400
        told = httpx.post(f"{url}/rerank", json={"query": "dog", "documents": passages, "max_tokens_per_doc": 1})
        assert told.status_code == 200
        assert told.json()["meta"]["warnings"][1].startswith("max_tokens_per_doc 1 lets little of a document be read")
        assert told.json()["meta"]["warnings"][1] in told.headers["x-warnings"]
        fits = httpx.post(f"{url}/rerank", json={"query": "dog", "documents": ["bird"], "max_tokens_per_doc": 1})
        assert "x-warnings" not in fits.headers
    lenient = create_app(Settings(min_passage_share=0.0), CrossEncoderEngine.load(checkpoint), checkpoint)
    with serving(lenient.app) as url:
        for words, status in ((60, 200), (61, 400)):  # of none a score would be made up
            answer = httpx.post(f"{url}/rerank", json={"query": "dog " * words, "documents": passages})
            assert answer.status_code == status, answer.text
