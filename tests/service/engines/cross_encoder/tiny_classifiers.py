"""Sequence classifiers of every family that is served, tiny and with random weights, saved by transformers itself.

Each has a tokenizer of the class that its family has, with that class's own frame for pairs, trained on a few lines.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from contract.checkpoint.manifest import Manifest, tokenizer_sha256
from contract.checkpoint.model_config import SIMILARITY_BERT
from retrieval.similarity_bert import register
from tests.tokenizers import copy_minilm_tokenizer, minilm_folder, qwen_tokenizer

_LINES = (
    "How is the flu treated? Rest, fluids and antiviral drugs help against influenza.",
    "The first railway opened in 1825 between Stockton and Darlington; it carried coal, then people.",
    "query: what is a passage document: 痛风如何治疗 秋水仙碱 寿司の作り方 ist das ein Satz? très café naïve",
)
_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_LARGE = {"initializer_range": 0.4}  # so that the scores differ by far more than rounding
_DECODER = _SIZES | _LARGE | {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256}


@dataclass(frozen=True, slots=True)
class Family:
    """How a tiny model of a family is made. `tokenizer` gives one of the family's own class."""

    model_type: str
    tokenizer: Callable[[], Any]
    settings: Mapping[str, Any]


def _wordpiece(cls: str, **special: str) -> Callable[[], Any]:
    def make() -> Any:
        trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        named = list(dict.fromkeys([*special.values(), "[UNK]"]))
        trained.train_from_iterator(_LINES, trainers.WordPieceTrainer(vocab_size=400, special_tokens=named))
        return getattr(transformers, cls)(vocab=trained.get_vocab(), unk_token="[UNK]", **special)

    return make


def _byte_pairs(cls: str, first: tuple[str, ...], **special: str) -> Callable[[], Any]:
    def make() -> Any:
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(first), initial_alphabet=alphabet)
        trained.train_from_iterator(_LINES, trainer)
        return getattr(transformers, cls)(vocab=trained.get_vocab(), merges=_merges(trained), **special)

    return make


def _spaced_pairs(cls: str, first: tuple[str, ...], **special: Any) -> Callable[[], Any]:
    """As SentencePiece's BPE has it: a blank is ▁, and a byte stands for what the vocabulary lacks."""

    def make() -> Any:
        trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        trained.pre_tokenizer = pre_tokenizers.Metaspace()
        named = [*first, *(f"<0x{byte:02X}>" for byte in range(256))]
        trained.train_from_iterator(_LINES, trainers.BpeTrainer(vocab_size=640, special_tokens=named))
        return getattr(transformers, cls)(vocab=trained.get_vocab(), merges=_merges(trained), **special)

    return make


def _unigram(cls: str, first: tuple[str, ...], unknown: str, **more: Any) -> Callable[[], Any]:
    def make() -> Any:
        trained = Tokenizer(models.Unigram())
        trained.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=250, special_tokens=list(first), unk_token=unknown)
        trained.train_from_iterator(_LINES, trainer)
        pieces = [(piece, float(score)) for piece, score in _vocabulary(trained)]
        return getattr(transformers, cls)(vocab=pieces, **more)

    return make


def _saved(trained: Tokenizer) -> Any:
    import json

    return json.loads(trained.to_str())["model"]


def _merges(trained: Tokenizer) -> list[tuple[str, str]]:
    return [(first, second) for first, second in _saved(trained)["merges"]]


def _vocabulary(trained: Tokenizer) -> list[tuple[str, float]]:
    return [(piece, score) for piece, score in _saved(trained)["vocab"]]


def _minilm() -> Any:
    return transformers.AutoTokenizer.from_pretrained(minilm_folder())


def _modernbert() -> Any:
    """As answerdotai/ModernBERT-base has it: GPT's byte pairs between [CLS] and [SEP]."""
    from tokenizers.processors import TemplateProcessing

    special = ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]")
    plain = _byte_pairs("Qwen2Tokenizer", special)()
    backend = plain.backend_tokenizer
    ids = {token: backend.token_to_id(token) for token in special}
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items())[:2]
    )
    made: Any = transformers.PreTrainedTokenizerFast
    return made(
        tokenizer_object=backend,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
    )


def _qwen() -> Any:
    trained = qwen_tokenizer()
    made: Any = transformers.Qwen2Tokenizer
    return made(vocab=_saved(trained)["vocab"], merges=_merges(trained))


_llama = _spaced_pairs("LlamaTokenizer", ("<unk>", "<s>", "</s>"), pad_token="<unk>", add_bos_token=True)
_BERT = {"vocab_size": 30522, "max_position_embeddings": 128, "type_vocab_size": 2}
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
FAMILIES = {
    "bert": Family("bert", _minilm, _SIZES | _LARGE | _BERT),
    SIMILARITY_BERT: Family(SIMILARITY_BERT, _minilm, _SIZES | _LARGE | _BERT),
    "distilbert": Family(
        "distilbert",
        _wordpiece("DistilBertTokenizer", cls_token="[CLS]", pad_token="[PAD]", sep_token="[SEP]", mask_token="[MASK]"),
        _LARGE | {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 128},
    ),
    "albert": Family(
        "albert",
        _unigram("AlbertTokenizer", ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), "<unk>"),
        _SIZES | _LARGE | {"embedding_size": 16, "max_position_embeddings": 128, "type_vocab_size": 2},
    ),
    "gpt2": Family(
        "gpt2",
        _byte_pairs("GPT2Tokenizer", ("<|endoftext|>",), pad_token="<|endoftext|>"),
        _LARGE | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    ),
    "electra": Family("electra", _minilm, _SIZES | _LARGE | _BERT | {"embedding_size": 16}),
    "mpnet": Family(
        "mpnet",
        _wordpiece("MPNetTokenizer", cls_token="<s>", pad_token="<pad>", sep_token="</s>", mask_token="<mask>"),
        _SIZES | _LARGE | {"max_position_embeddings": 130},
    ),
    "roberta": Family(
        "roberta", _byte_pairs("RobertaTokenizer", _ROBERTA), _SIZES | _LARGE | {"max_position_embeddings": 130}
    ),
    "xlm-roberta": Family(
        "xlm-roberta",
        _unigram("XLMRobertaTokenizer", ("<s>", "<pad>", "</s>", "<unk>"), "<unk>"),
        _SIZES | _LARGE | {"max_position_embeddings": 130, "type_vocab_size": 1},
    ),
    "deberta-v2": Family(
        "deberta-v2",
        _unigram("DebertaV2Tokenizer", ("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[UNK]", unk_id=3),
        _SIZES
        | _LARGE
        | {
            "max_position_embeddings": 128,
            "relative_attention": True,
            "position_buckets": 32,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "modernbert": Family(
        "modernbert",
        _modernbert,
        _SIZES | {"initializer_range": 0.4, "max_position_embeddings": 256, "local_attention": 16},
    ),
    "qwen2": Family("qwen2", _qwen, _DECODER),
    "qwen3": Family("qwen3", _qwen, _DECODER),
    "llama": Family("llama", _llama, _DECODER),
    "mistral": Family("mistral", _llama, _DECODER | {"sliding_window": 8}),  # whose batches are padded
    "gemma": Family(
        "gemma", _spaced_pairs("GemmaTokenizer", ("<pad>", "<eos>", "<bos>", "<unk>"), add_bos_token=True), _DECODER
    ),
}


def write_classifier(folder: Path, family: str, *, labels: int = 1, seed: int = 5, **settings: Any) -> Path:
    """A folder as `save_pretrained` of model and tokenizer leaves it. `settings` replace those of the config."""
    made = FAMILIES[family]
    tokenizer = made.tokenizer()
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    given = {"vocab_size": len(tokenizer)} | ids | dict(made.settings) | {"num_labels": labels} | settings
    register()
    config = transformers.AutoConfig.for_model(made.model_type, **given)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # DeBERTa's module still scripts its functions
        auto: Any = transformers.AutoModelForSequenceClassification
        model = auto.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_checkpoint(folder: Path, network: Any, temperature: float) -> Path:
    """A checkpoint of a BERT with MiniLM's vocabulary, as the trainer leaves it."""
    network.save_pretrained(folder)
    copy_minilm_tokenizer(folder)
    Manifest(
        kind="cross-encoder",
        format=None,
        verdict_tokens=None,
        tokenizer_sha256=tokenizer_sha256(folder),
        temperature=temperature,
        base="test",
    ).write(folder)
    return folder
