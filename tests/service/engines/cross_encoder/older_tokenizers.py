"""Tiny classifiers as older libraries saved them: without tokenizer.json, with the files of their tokenizer's class."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.service.engines.cross_encoder.tiny_classifiers import write_classifier

_LINES = (
    "how is the flu treated rest fluids and antiviral drugs help against influenza",
    "the first railway opened in 1825 between stockton and darlington it carried coal then people",
    "Query: what is a passage? Document: naïve café très 3.5% — it's re-read 痛風 治療 寿司",
)
_FAST = ("tokenizer.json", "special_tokens_map.json")


def _sentencepiece(name: str, cls: str, kind: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    """Trains a model of SentencePiece itself into the file that the class reads."""

    def write(folder: Path) -> dict[str, Any]:
        import sentencepiece

        made = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_LINES * 20),
            model_writer=made,
            vocab_size=400,
            hard_vocab_limit=False,
            model_type=kind,
            character_coverage=1.0,
            minloglevel=2,
            **options,
        )
        (folder / name).write_bytes(made.getvalue())
        return {"tokenizer_class": cls} | ({"pad_token": "<unk>"} if cls == "LlamaTokenizer" else {})

    return write


def _vocabulary(folder: Path) -> dict[str, Any]:
    words = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n", encoding="utf-8")
    return {"tokenizer_class": "BertTokenizer", "do_lower_case": True}


def _merges(folder: Path) -> dict[str, Any]:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    pairs = (" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"])
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n", encoding="utf-8")
    return {"tokenizer_class": "RobertaTokenizer"}


# By family: what writes the older files into a folder and returns the tokenizer's config.
OLDER: dict[str, Callable[[Path], dict[str, Any]]] = {
    "bert": _vocabulary,
    "roberta": _merges,
    "xlm-roberta": _sentencepiece("sentencepiece.bpe.model", "XLMRobertaTokenizer", "unigram"),
    "deberta-v2": _sentencepiece(
        "spm.model",
        "DebertaV2Tokenizer",
        "unigram",
        user_defined_symbols=["[CLS]", "[SEP]"],
        pad_id=0,
        pad_piece="[PAD]",
        unk_id=1,
        unk_piece="[UNK]",
        bos_id=-1,
        eos_id=-1,
    ),
    "llama": _sentencepiece("tokenizer.model", "LlamaTokenizer", "bpe", byte_fallback=True),
}


# Rows of a model whose vocabulary SentencePiece chooses.
_ROWS = {"xlm-roberta": 120, "deberta-v2": 120, "llama": 640}


def write_older(folder: Path, family: str) -> Path:
    """A tiny classifier of the family whose folder has the older files of its tokenizer alone."""
    write_classifier(folder, family, **({"vocab_size": _ROWS[family]} if family in _ROWS else {}))
    config = OLDER[family](folder)
    for name in _FAST:
        (folder / name).unlink(missing_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
