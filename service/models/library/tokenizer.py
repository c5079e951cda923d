"""Opens the tokenizer of a model folder: its tokenizer.json, or what transformers makes of the older files.

Many checkpoints were saved with vocab.txt, vocab.json and merges.txt, or a SentencePiece model alone. Sentence
Transformers converts these whenever it loads such a folder, and so do we, in memory: nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.checkpoint.manifest import FILE_NAME
from contract.checkpoint.model_config import CONFIG
from service.errors import ModelStoreError

TOKENIZER = "tokenizer.json"
_READ_BY_EVERY_CLASS = ("tokenizer.model", "tiktoken.model", "tekken.json")


def converted(folder: Path) -> str | None:
    """The content of a tokenizer.json for a folder that has none; None where it has one. Raises ModelStoreError."""
    if (folder / TOKENIZER).is_file():
        return None
    if (folder / FILE_NAME).exists():  # a manifest holds the hash of the file that was there
        raise ModelStoreError(f"{folder} has no {TOKENIZER}; restore the one that its {FILE_NAME} belongs to.")
    try:
        return _by_transformers(folder).to_str()
    except BaseException as error:  # a library that reads files of many kinds can raise anything
        _reraise_other(error)
        raise ModelStoreError(
            f"{folder} has no {TOKENIZER}, and transformers makes none of its other files ({_line(error)}); fetch or "
            "save the model's tokenizer there."
        ) from error


def open_tokenizer(folder: Path, config: Mapping[str, Any], content: str | None) -> Tokenizer:
    """The tokenizer in the folder, or the one of `content` (see `converted`), which must fit the model's vocabulary.

    Raises ModelStoreError.
    """
    path = folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(path)) if content is None else Tokenizer.from_str(content)
    except BaseException as error:  # the library raises nothing more precise, and panics where it has an error itself
        _reraise_other(error)
        raise ModelStoreError(f"{path} cannot be read ({_line(error)}); fetch or save it again.") from error
    largest, rows = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1), config.get("vocab_size")
    if content is not None and type(rows) is int and largest < rows // 2:
        raise ModelStoreError(
            f"{folder} has no {TOKENIZER}, and its other files hold {largest + 1} tokens of the {rows} that the "
            "vocab_size in its config.json states; fetch or save the model's tokenizer there."
        )
    if largest < 0 or (type(rows) is int and largest >= rows):
        raise ModelStoreError(
            f"{path} has ids up to {largest}, but the vocab_size in {CONFIG} is {rows}; take the tokenizer that the "
            "model was trained with."
        )
    return tokenizer


def _by_transformers(folder: Path) -> Tokenizer:
    """Raises ValueError or TypeError where the files are not those of the model's tokenizer, and whatever the library
    raises."""
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_default_handler()  # as in `service.engines.whole`
    transformers_logging.enable_propagation()
    found: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    named: Mapping[str, str] = getattr(type(found), "vocab_files_names", {})
    needed = [name for key, name in named.items() if key != "tokenizer_file"]
    # Without its files a class of transformers makes a tokenizer of nothing but special tokens.
    missing = [name for name in needed if not (folder / name).is_file()]
    if (missing or not needed) and not any((folder / name).is_file() for name in _READ_BY_EVERY_CLASS):
        raise ValueError(f"{type(found).__name__} needs {' and '.join(missing) or TOKENIZER}")
    tokenizer = getattr(found, "backend_tokenizer", None)
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(f"{type(found).__name__} is none that can be converted")
    return tokenizer


def _reraise_other(error: BaseException) -> None:
    """Raises what is no error of a library, such as an interrupt; a panic of tokenizers is one."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
