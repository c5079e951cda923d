"""The files with which Sentence Transformers loads one of our causal checkpoints and reproduces its log-odds.

    modules.json                        the network, then LogitScore
    1_LogitScore/config.json            the ids of the two words
    sentence_bert_config.json           writes pairs through the chat template
    config_sentence_transformers.json   sigmoid activation, and the default instruction as the default prompt
    chat_template.jinja                 the prompt, up to the place where a word is read in direct mode

`CrossEncoder(folder).predict` with an identity activation then returns log-odds times temperature. Sentence
Transformers 5.4 and later read these files. They encode the whole prompt as one string, so they are only right for a
tokenizer that gives this string our ids (`trainer.publish.library_files` proves it).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract.files import write_text
from contract.formats.prompt_format import PromptFormat
from contract.formats.template import INSTRUCTION, parts_of
from contract.verdict import VerdictTokens

MODULES = "modules.json"
TEMPLATE = "chat_template.jinja"
_SCORE = "1_LogitScore"
_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
_LOGIT_SCORE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
_SIGMOID = "torch.nn.modules.activation.Sigmoid"
_DEFAULT = "default"  # the name of the default prompt
_FIND = '{{%- set {0} = (messages | selectattr("role", "eq", "{1}") | first) %}}'
_ROLES = {"query": "query", "document": "document", INSTRUCTION: "system"}


def unwritable(prompt_format: PromptFormat) -> str | None:
    """Why a LogitScore cannot read answers of this format; None where it can."""
    if prompt_format.grades:
        return "it answers with a grade, which takes several reads"
    if len(prompt_format.true_words) != 1 or len(prompt_format.false_words) != 1:
        return "its answer is not one word against one other"
    if (prompt_format.scale, prompt_format.offset) != (1.0, 0.0):
        return "its score has a scale or an offset"
    return None


def chat_template(prompt_format: PromptFormat) -> str:
    """The prompt of direct mode as a template with the roles query, document and system (the instruction)."""
    closing = prompt_format.close + prompt_format.answer
    stated = _written("".join(prompt_format.pieces("stated")) + closing)
    plain = _written("".join(prompt_format.pieces(prompt_format.default_instruction)) + closing)
    found = "".join(_FIND.format(slot, role) for slot, role in _ROLES.items())
    return f"{found}{{%- if {INSTRUCTION} %}}{stated}{{%- else %}}{plain}{{%- endif %}}"


def write_logit_score_files(folder: Path, prompt_format: PromptFormat, words: VerdictTokens) -> None:
    """Writes the files beside the weights and overwrites existing ones."""
    kinds = (("", _TRANSFORMER), (_SCORE, _LOGIT_SCORE))
    _write(
        folder / MODULES,
        [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(kinds)],
    )
    (folder / _SCORE).mkdir(exist_ok=True)
    _write(folder / _SCORE / "config.json", {"true_token_id": words.true, "false_token_id": words.false})
    logits = {"method": "forward", "method_output_name": "logits"}
    _write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {"text": logits, "message": {**logits, "format": "structured"}},
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
    )
    default = prompt_format.default_instruction
    _write(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "CrossEncoder",
            "activation_fn": _SIGMOID,
            "prompts": {_DEFAULT: default} if default else {},
            "default_prompt_name": _DEFAULT if default else None,
        },
    )
    write_text(folder / TEMPLATE, chat_template(prompt_format))


def _written(text: str) -> str:
    """A text with slots as expressions: fixed text as string literals, so that nothing in it is read as a template."""
    return "".join(
        f"{{{{ {part}.content[0].text }}}}" if is_slot else f"{{{{ {json.dumps(part, ensure_ascii=False)} }}}}"
        for part, is_slot in parts_of(text)
        if part
    )


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
