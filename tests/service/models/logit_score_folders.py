"""Folders as Sentence Transformers saves causal rerankers, made by the library itself around a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.service.engines.tiny_models import save_tiny_model

_ROLE = '{{%- set {0} = (messages | selectattr("role", "eq", "{0}") | first) %}}'
_PICK = "".join(_ROLE.format(role) for role in ("query", "document"))

QWEN3 = (
    _PICK
    + '{%- set system = messages | selectattr("role", "eq", "system") | map(attribute="content") | list %}'
    + "<|im_start|>system\nJudge whether the Document meets the requirements.<|im_end|>\n<|im_start|>user\n"
    + "<Instruct>: {{ system[0][0].text if system else '' }}\n<Query>: {{ query.content[0].text }}\n"
    + "<Document>: {{ document.content[0].text }}<|im_end|>\n"
    + "{%- if add_generation_prompt %}\n<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
OWN_LINE = (
    "<|im_start|>user\n{% for message in messages %}{% if message.role == 'system' %}instruction: "
    "{{ message.content[0].text }}\n{% endif %}{% endfor %}"
    + _PICK
    + "query: {{ query.content[0].text }}\ndocument: {{ document.content[0].text }}\nRelevance:<|im_end|>\n"
    "<|im_start|>assistant\n"
)
ZERANK = (
    _PICK + "<|im_start|>system\n{{ query.content[0].text }}<|im_end|>\n<|im_start|>user\n"
    "{{ document.content[0].text }}<|im_end|>\n<|im_start|>assistant\n"
)
DOCUMENT_FIRST = (
    _PICK + "Check whether the document helps.\n<Document> {{ document.content[0].text }}\n"
    "<Query> {{ query.content[0].text }} ??"
)
LOOP = "{% for message in messages %}<|{{ message.role }}|>{{ message.content[0].text }}<|im_end|>\n{% endfor %}Answer:"

# Templates that cannot be served.
CHAT_ONLY = (
    "{% for message in messages %}{% if message.role == 'user' %}<|im_start|>user\n{{ message.content[0].text }}"
    "<|im_end|>\n{% endif %}{% endfor %}<|im_start|>assistant\n"
)
TWICE = LOOP + _PICK + "{{ document.content[0].text }}"
TRIMS = _PICK + "Query: {{ query.content[0].text | trim }}\nDocument: {{ document.content[0].text }}\nAnswer:"
BRANCHES = (
    _PICK + "{% if document.content[0].text | length > 300 %}Long{% else %}Short{% endif %}\n"
    "Query: {{ query.content[0].text }}\nDocument: {{ document.content[0].text }}\nAnswer:"
)
RAISES = "{{ raise_exception('no roles') }}"


def save_logit_score(
    folder: Path,
    tokenizer: Tokenizer,
    template: str,
    words: tuple[str, str | None],
    *,
    prompt: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Path:
    """A Qwen3 of two layers with the files of Sentence Transformers. `prompt`: its default instruction."""
    save_tiny_model(folder, "qwen3", tokenizer)
    tokens: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|endoftext|>"}
    _write(folder / "tokenizer_config.json", tokens | {"eos_token": "<|endoftext|>", "padding_side": "left"})
    (folder / "chat_template.jinja").write_text(template)
    base = "sentence_transformers.base.modules.transformer.Transformer"
    score = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    modules = [("", base), ("1_LogitScore", score)]
    _write(
        folder / "modules.json",
        [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(modules)],
    )
    true, false = (None if word is None else tokenizer.token_to_id(word) for word in words)
    (folder / "1_LogitScore").mkdir()
    _write(folder / "1_LogitScore" / "config.json", {"true_token_id": true, "false_token_id": false})
    _write(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "CrossEncoder",
            "prompts": {"web_search": prompt} if prompt else {},
            "default_prompt_name": "web_search" if prompt else None,
            "activation_fn": "torch.nn.modules.linear.Identity",
        },
    )
    _write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {
                "text": {"method": "forward", "method_output_name": "logits"},
                "message": {"method": "forward", "method_output_name": "logits", "format": "structured"},
            },
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True} | (settings or {})},
        },
    )
    return folder


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
