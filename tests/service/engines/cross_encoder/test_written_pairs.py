"""Decoders with a classifier's head whose pairs are written as prompts: by a chat template, a name or `--format`."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

from contract.formats.seams import random_text
from contract.pairs import PairPrompts
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.errors import ModelStoreError
from service.main import run
from service.models.checkpoint import Checkpoint, open_checkpoint
from tests.contract.formats.references import mxbai, qwen3_reranker, tokenizer_named
from tests.seam import Job, score
from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier
from tests.service.engines.tiny_models import PlainLogits, save_tiny_model
from tests.service.models import logit_score_folders as templates

TOLERANCE = 1e-4
END = 151643  # <|endoftext|>
# As Qwen's own: it writes every role, but knows no pairs when it refuses others than its own.
CHAT = (
    "{%- for message in messages %}{%- if message.role in ('user', 'system', 'assistant') %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{%- endif %}{%- endfor %}"
)
FLAT = (
    "<|im_start|>user\n{%- for message in messages if message.role == 'system' %}{{ ' ' + message.content }}"
    "{%- endfor %}\n{%- for message in messages if message.role in ('query', 'document') %}{{ message.role }}: "
    "{{ message.content }}\n{% endfor %}<|im_end|>\n<|im_start|>assistant\n"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3 with one output and the tokenizer of Qwen3, without a chat template."""
    folder, tokenizer = tmp_path_factory.mktemp("models") / "plain", tokenizer_named("qwen3-like")
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    ids: dict[str, Any] = {"pad_token_id": END, "eos_token_id": END, "bos_token_id": None}
    write_classifier(folder, "qwen3", vocab_size=size, max_position_embeddings=4096, **ids)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    return folder


def made(plain: Path, folder: Path, template: str | None = None, **files: Any) -> Path:
    """The tiny Qwen3 under another name, with a chat template and JSON files (`name` stands for `name`.json)."""
    shutil.copytree(plain, folder)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def asked(count: int) -> list[tuple[str, str]]:
    choose = random.Random(4)
    pairs = [(random_text(choose), random_text(choose)) for _ in range(count)]
    return [pair for pair in pairs if not any("<" in text or "\ufffd" in text for text in pair)]


async def served(
    checkpoint: Checkpoint, pairs: list[tuple[str, str]], instruction: str | None = None, **kwargs: Any
) -> list[float]:
    engine = CrossEncoderEngine.load(checkpoint, dtype="float32", **kwargs)
    try:
        found = []
        for at, (query, passage) in enumerate(pairs):
            (verdict,) = await score(engine, Job(f"{at}", query, (passage,), instruction))
            found.append(verdict.log_odds)
        return found
    finally:
        await engine.close()


def library(folder: Path, pairs: list[tuple[str, str]], instruction: str | None = None) -> list[float]:
    model: Any = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    return [float(each) for each in model.predict(pairs, prompt=instruction, activation_fn=torch.nn.Identity())]


def outputs(folder: Path, rows: list[list[int]]) -> list[float]:
    """A plain forward pass of transformers on these ids."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return [float(model(torch.tensor([ids])).logits[0, 0]) for ids in rows]


_MESSAGE = {
    "transformer_task": "sequence-classification",
    "modality_config": {
        "text": {"method": "forward", "method_output_name": "logits"},
        "message": {"method": "forward", "method_output_name": "logits", "format": "structured"},
    },
    "module_output_name": "scores",
    "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
}
_MODULES = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]
_GENERAL = {
    "model_type": "CrossEncoder",
    "prompts": {"web": "Given a query, find passages."},
    "default_prompt_name": "web",
    "activation_fn": "torch.nn.modules.activation.Sigmoid",
}


async def test_a_template_that_its_files_state(plain: Path, tmp_path: Path) -> None:
    files = {"sentence_bert_config": _MESSAGE, "modules": _MODULES, "config_sentence_transformers": _GENERAL}
    folder = made(plain, tmp_path / "model", templates.QWEN3, **files)
    checkpoint, pairs = open_checkpoint(folder, "model"), asked(120)
    assert (checkpoint.score, checkpoint.format_source) == ("own", "the chat template in its folder")
    assert len(pairs) > 60
    assert await served(checkpoint, pairs) == pytest.approx(library(folder, pairs), abs=TOLERANCE)
    stated = "Only what is recent."
    found = await served(checkpoint, pairs[:9], stated)
    assert found == pytest.approx(library(folder, pairs[:9], stated), abs=TOLERANCE)


@pytest.mark.parametrize("template", [FLAT, templates.ZERANK], ids=["flat", "structured"])
async def test_a_template_of_the_two_roles_without_any_further_file(template: str, plain: Path, tmp_path: Path) -> None:
    """Sentence Transformers infers from the template how contents are given, and so do we."""
    folder = made(plain, tmp_path / "model", template)
    pairs = asked(60)
    checkpoint = open_checkpoint(folder, "model")
    assert checkpoint.score == "order"
    assert await served(checkpoint, pairs) == pytest.approx(library(folder, pairs), abs=TOLERANCE)
    (folder / "chat_template.jinja").unlink()
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    tokens["chat_template"] = [{"name": "tools", "template": CHAT}, {"name": "default", "template": template}]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    assert open_checkpoint(folder, "model").manifest.format == checkpoint.manifest.format


async def test_a_conversion_known_by_its_name_scores_as_the_causal_model(plain: Path, tmp_path: Path) -> None:
    """As tomaarsen/Qwen3-Reranker-0.6B-seq-cls was made: its head is the row of `yes` less that of `no`."""
    tokenizer = tokenizer_named("qwen3-like")
    causal = PlainLogits(save_tiny_model(tmp_path / "causal", "qwen3", tokenizer))
    folder = tmp_path / "Qwen3-Reranker-0.6B-seq-cls"
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "causal", dtype=torch.float32, num_labels=1, pad_token_id=END
    )
    head = causal._model.lm_head.weight
    model.score.weight.data = (head[9693] - head[2152])[None].clone()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT)
    checkpoint = open_checkpoint(folder, folder.name)
    assert checkpoint.score == "own"
    assert checkpoint.manifest.format is not None
    assert checkpoint.manifest.format.name == "qwen3-reranker"
    for instruction in (None, "Only definitions."):
        expected = []
        for query, document in asked(40):
            logits = causal.after(qwen3_reranker(tokenizer, query, document, instruction))
            expected.append(float(logits[9693] - logits[2152]))
        assert await served(checkpoint, asked(40), instruction) == pytest.approx(expected, abs=1e-3)


async def test_scale_and_offset_of_a_format_hold_for_its_conversions(plain: Path, tmp_path: Path) -> None:
    tokenizer, pairs = tokenizer_named("qwen3-like"), asked(20)
    folder = made(plain, tmp_path / "mxbai-rerank-large-v2-seq", CHAT)
    rows = [mxbai(tokenizer, query, document, None) for query, document in pairs]
    expected = [output - 6.0 for output in outputs(folder, rows)]
    assert await served(open_checkpoint(folder, folder.name), pairs) == pytest.approx(expected, abs=TOLERANCE)


async def test_a_format_file_needs_no_words_for_a_classifier(plain: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('name: mine\nprompt: "Query: {query}\\nDocument: {document}\\nRelevant:"\nscale: 2\n')
    pairs, tokenizer = asked(20), tokenizer_named("qwen3-like")
    texts = [f"Query: {query}\nDocument: {document}\nRelevant:" for query, document in pairs]
    rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    checkpoint = open_checkpoint(plain, "plain", prompt_format=str(file))
    expected = [output / 2 for output in outputs(plain, rows)]
    assert await served(checkpoint, pairs) == pytest.approx(expected, abs=TOLERANCE)
    causal = save_tiny_model(tmp_path / "causal", "qwen3", tokenizer)
    with pytest.raises(ModelStoreError, match="'mine' has neither true_words nor grades"):
        open_checkpoint(causal, "causal", prompt_format=str(file))


async def test_prefixes_that_are_stated_replace_a_prompt(plain: Path, tmp_path: Path) -> None:
    folder, pairs = made(plain, tmp_path / "model", templates.ZERANK), asked(20)
    written = await served(open_checkpoint(folder, "model"), pairs)
    checkpoint = open_checkpoint(folder, "model")
    found = await served(checkpoint, pairs, prompts=PairPrompts("query: ", " document: "))
    tokenizer = tokenizer_named("qwen3-like")
    rows = [_ids(tokenizer, f"query: {query}") + _ids(tokenizer, f" document: {text}") for query, text in pairs]
    assert found == pytest.approx(outputs(folder, rows), abs=TOLERANCE)
    assert found != pytest.approx(written, abs=TOLERANCE)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


async def test_control_strings_never_come_from_the_texts(plain: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(made(plain, tmp_path / "model", templates.ZERANK), "model")
    engine = CrossEncoderEngine.load(checkpoint, dtype="float32")
    prefix = engine.encoder.prefix("a <|im_end|> b", None, 0)
    assert list(prefix.ids).count(151645) == 1, "the wrapper's own"
    await engine.close()


def test_a_template_for_chats_alone_is_no_prompt_and_is_said(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(plain, tmp_path / "my-reranker", CHAT)
    checkpoint = open_checkpoint(folder, folder.name)
    assert checkpoint.manifest.format is None
    assert checkpoint.plain_pairs_of_a_chat_model
    assert run(["inspect", str(folder)], {}) == 0
    assert "note          query and passage are joined as a plain pair" in capsys.readouterr().out
    assert run(["inspect", str(folder), "--query-prompt", "query: "], {}) == 0
    told = capsys.readouterr().out
    assert "note" not in told
    assert "    query: what is a lipid?Lipids are fats." in told
    texts_only = {"modality_config": {"text": _MESSAGE["modality_config"]["text"]}}  # type: ignore[index]
    folder = made(plain, tmp_path / "texts", templates.ZERANK, sentence_bert_config=texts_only)
    checkpoint = open_checkpoint(folder, folder.name)
    assert (checkpoint.manifest.format, checkpoint.plain_pairs_of_a_chat_model) == (None, False)


def test_what_cannot_be_asked_is_refused(plain: Path, tmp_path: Path) -> None:
    for name, template, said in (
        ("trims", templates.TRIMS, "changes texts or branches by them"),
        ("twice", templates.TWICE, "writes the document 2 times"),
    ):
        with pytest.raises(ModelStoreError, match=said):
            open_checkpoint(made(plain, tmp_path / name, template), name)
    folder = made(plain, tmp_path / "stated", CHAT, sentence_bert_config=_MESSAGE, modules=_MODULES)
    with pytest.raises(ModelStoreError, match="writes the query 0 times"):
        open_checkpoint(folder, "stated")
    for name in ("erank", "tfrank", "limrank"):
        with pytest.raises(ModelStoreError, match="read after reasoning or by grades, and a classifier has one output"):
            open_checkpoint(plain, "plain", prompt_format=name)
    bert = write_classifier(tmp_path / "bert", "bert")
    with pytest.raises(ModelStoreError, match="needs no --format qwen3-reranker"):
        open_checkpoint(bert, "bert", prompt_format="qwen3-reranker")


def test_inspect_shows_the_prompt_and_what_is_read(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(plain, tmp_path / "Qwen3-Reranker-4B-seq-cls", CHAT)
    assert run(["inspect", str(folder)], {}) == 0
    told = capsys.readouterr().out
    assert "kind          cross-encoder" in told
    assert "format        qwen3-reranker, from the words in its name: qwen3-reranker" in told
    assert "    <Query>: what is a lipid?" in told
    assert "ids: 151644 8948 198 " in told
    assert "read          the one output for each pair" in told
    assert "relevance     the sigmoid, the model's own" in told


def test_the_reading_is_part_of_the_fingerprint(plain: Path) -> None:
    """A temperature that was fitted with one prompt is refused with another."""
    one = open_checkpoint(plain, "plain")
    other = open_checkpoint(plain, "plain", prompt_format="qwen3-reranker")
    assert one.manifest.fingerprint != other.manifest.fingerprint
    assert replace(other.manifest, format=None).fingerprint == one.manifest.fingerprint
