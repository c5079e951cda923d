"""Reads what the files of a sequence classifier say about it: its outputs, its activation, its prompts, its limit.

A classifier needs no manifest: the one output of a `*ForSequenceClassification` is its score, and the files of Sentence
Transformers beside it state the rest. No weights are read and no code of the model is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.checkpoint.model_config import SIMILARITY_BERT
from contract.formats.prompt_format import PromptFormat
from contract.pairs import NO_PROMPTS, PairPrompts
from contract.verdict import OutputReading
from service.errors import ModelStoreError
from service.models.architecture import CLASSIFIER, is_decoder, refuse_foreign

_RELEVANT_LABELS = frozenset({"relevant", "true", "yes", "positive"})
_NO_LIMIT = 1_000_000  # a tokenizer without a limit states a number of thirty digits
_TRANSFORMER = "Transformer"
_SCALED_BY_US = (_TRANSFORMER, "Dense")  # as `contract.sentence_transformers` writes the files
_MOST_LABELS = 100  # more are refused alike
_TORCH = "torch."  # of others Sentence Transformers takes no activation
_SIGMOID, _HARD_SIGMOID = "Sigmoid", "Hardsigmoid"  # the activations of torch that map every output into [0, 1]


@dataclass(frozen=True, slots=True)
class Classifier:
    """How a sequence classifier is asked and read.

    It has one or two outputs (`labels`); of two, `relevant` is the one that stands for relevance, and the score is how
    far it lies above the other. `sigmoid`: the model's own files name the sigmoid as its activation (two outputs have
    their softmax, which is the same of their difference); `hard_sigmoid`: they name that one.
    `decoder`: it is read at the last token. `prompt`: how a decoder's pairs are written as prompts; None: as pairs of
    texts.
    `max_tokens`: the longest pair that the files allow (None: only the model's positions limit it). `token_types`: the
    tokenizer tells the two texts apart for the model. `lower_case`: text is put into lower case first.
    """

    labels: int = 1
    relevant: int = 1
    sigmoid: bool = False
    hard_sigmoid: bool = False
    decoder: bool = False
    prompt: PromptFormat | None = None
    prompts: PairPrompts = NO_PROMPTS
    max_tokens: int | None = None
    token_types: bool = True
    lower_case: bool = False

    @property
    def own_probability(self) -> bool:
        """True when the model's own files map its output into [0, 1], or its prompt's format does."""
        return self.sigmoid or self.hard_sigmoid or bool(self.prompt and self.prompt.false_words)

    @property
    def reading(self) -> OutputReading:
        """How the score becomes `raw_scores` and relevance; a prompt's format may have a scale and an offset."""
        scale, offset = (1.0, 0.0) if self.prompt is None else (self.prompt.scale, self.prompt.offset)
        return OutputReading(self.hard_sigmoid, scale, offset)

    def score(self, outputs: Sequence[float]) -> float:
        """The score of a pair by the outputs for it, before any activation."""
        return outputs[0] if self.labels == 1 else outputs[self.relevant] - outputs[1 - self.relevant]


def read_classifier(folder: Path, *, ours: bool = False) -> Classifier | None:
    """Returns what the files in `folder` say, or None where they are not a sequence classifier's.

    `ours`: the folder has a manifest of ours, which also says what the modules behind the network do. Raises
    ModelStoreError for a classifier that cannot be served, and for any model that needs code of its repository.
    """
    config = _json(folder / "config.json")
    architectures = [str(name) for name in config.get("architectures") or []]
    refuse_foreign(config, folder, architectures)
    if not any(name.endswith(CLASSIFIER) for name in architectures):
        return None
    names = _labels(config)
    if len(names) not in (1, 2):
        raise ModelStoreError(
            f"{folder} has {len(names)} outputs, but a cross-encoder that reranks has one, or two of which one stands "
            f"for relevance, and not {', '.join(names[:5])}; serve another model."
        )
    decoder = is_decoder(config)
    stated = _sentence_transformers(folder, ours, decoder)
    activation = _activation(config, stated)
    return Classifier(
        labels=len(names),
        relevant=_relevant(names),
        sigmoid=len(names) == 2 or activation == _SIGMOID,
        hard_sigmoid=len(names) == 1 and activation == _HARD_SIGMOID,
        decoder=decoder,
        prompts=_prompts(stated),
        max_tokens=_max_tokens(folder),
        token_types=_token_types(folder, str(config.get("model_type"))),
        lower_case=bool(_json(folder / "sentence_bert_config.json").get("do_lower_case")),
    )


def _labels(config: Mapping[str, Any]) -> list[str]:
    """The names of the outputs, in their order. transformers gives a config that names none two of them."""
    named = config.get("id2label")
    if isinstance(named, Mapping) and named:
        return [str(named[key]) for key in sorted(named, key=int)]
    return [f"LABEL_{index}" for index in range(min(config.get("num_labels") or 2, _MOST_LABELS))]


def _relevant(names: Sequence[str]) -> int:
    """Which of two outputs stands for relevance: the only one whose name says so, else the second."""
    named = [index for index, name in enumerate(names) if name.lower() in _RELEVANT_LABELS]
    return named[0] if len(named) == 1 else 1


def _sentence_transformers(folder: Path, ours: bool, decoder: bool) -> Mapping[str, Any]:
    """Returns config_sentence_transformers.json, or {} where the folder was not saved by that library.

    Raises ModelStoreError where its files describe more than pairs of text through the network itself.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    modules = [str(module.get("type", "")).rpartition(".")[2] for module in _json(path, list)]
    if modules != [_TRANSFORMER] and not (ours and tuple(modules) == _SCALED_BY_US):
        raise ModelStoreError(
            f"{path} puts {', '.join(modules[1:]) or 'other modules'} behind the network, which no engine computes; "
            "serve a classifier whose own output is the score."
        )
    modalities = _json(folder / "sentence_bert_config.json").get("modality_config") or {}
    if "message" in modalities and not decoder:
        raise ModelStoreError(
            f"{folder / 'sentence_bert_config.json'} writes pairs through a chat template (modality_config names "
            '"message"), which only decoders are asked with here; serve the model that it was made from.'
        )
    stated: Mapping[str, Any] = _json(folder / "config_sentence_transformers.json")
    return stated


def _activation(config: Mapping[str, Any], stated: Mapping[str, Any]) -> str:
    """The class of torch that is named as the activation of the output, without its module; "" for none.

    In the order in which Sentence Transformers looks, which passes over names that are not torch's.
    """
    older: Mapping[str, Any] = config.get("sentence_transformers") or {}
    named = older.get("activation_fn", config.get("sbert_ce_default_activation_function"))
    names = (str(name) for name in (stated.get("activation_fn"), named) if name)
    return next((name.rpartition(".")[2] for name in names if name.startswith(_TORCH)), "")


def _prompts(stated: Mapping[str, Any]) -> PairPrompts:
    """A default prompt stands before the query, as in Sentence Transformers, which has none for passages. A pair of
    prompts named for query and document is meant for both."""
    prompts: Mapping[str, str] = stated.get("prompts") or {}
    if default := stated.get("default_prompt_name"):
        return PairPrompts(query=prompts.get(default) or "")
    passage = next((prompts[name] for name in ("document", "passage") if prompts.get(name)), "")
    return PairPrompts(prompts.get("query") or "", passage) if passage else NO_PROMPTS


def _max_tokens(folder: Path) -> int | None:
    """The longest pair by the tokenizer's own limit and by that of Sentence Transformers' config."""
    stated = (
        _json(folder / "tokenizer_config.json").get("model_max_length"),
        _json(folder / "sentence_bert_config.json").get("max_seq_length"),
    )
    return min((int(limit) for limit in stated if limit and 0 < limit < _NO_LIMIT), default=None)


def _token_types(folder: Path, model_type: str) -> bool:
    """Whether the tokenizer, by its config or else by its class, gives the model token types (RoBERTa's does not,
    whatever its model has room for)."""
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    config = _json(folder / "tokenizer_config.json")
    known = TOKENIZER_MAPPING_NAMES.get("bert" if model_type == SIMILARITY_BERT else model_type)
    name = str(config.get("tokenizer_class") or known).removesuffix("Fast")
    tokenizer = getattr(transformers, name, transformers.PreTrainedTokenizerFast)
    own = getattr(tokenizer, "model_input_names", transformers.PreTrainedTokenizerFast.model_input_names)
    names: Sequence[str] = config.get("model_input_names") or own
    return "token_type_ids" in names


def _json(path: Path, kind: type[Any] = dict) -> Any:
    """The content of a JSON file, `kind()` where there is none. Raises ModelStoreError where it is something else."""
    if not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelStoreError(f"{path} is not JSON ({error}); fetch or save it again.") from error
    if not isinstance(content, kind):
        raise ModelStoreError(f"{path} holds no {kind.__name__}; fetch or save it again.")
    return content
