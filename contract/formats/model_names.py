"""The format of a public checkpoint, found by the words in its name."""

from __future__ import annotations

import re

from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat

# Checkpoints recognised by the beginning of their hub id.
_HUB_IDS = {"songtingyu/limrank": "limrank", "jhu-clsp/rank1-": "limrank"}
# Patterns for lower-case names without the owner, each with its format.
_WORDS: tuple[tuple[str, str], ...] = (
    (r"^rank1-\d", "limrank"),
    (r"qwen3-reranker", "qwen3-reranker"),
    (r"\br3-rerank", "qwen3-reranker"),
    (r"mxbai-rerank-base-v2", "mxbai-rerank-base-v2"),
    (r"mxbai-rerank-large-v2", "mxbai-rerank-large-v2"),
    (r"followir-7b", "followir-7b"),
    (r"bge-reranker-v2-gemma", "bge-reranker-v2-gemma"),
    (r"\bzerank-[12]", "zerank"),
    (r"\btfrank\b", "tfrank"),
    (r"\berank-\d", "erank"),
)
# Models with similar names but another prompt, or another head.
_OTHER_PROMPT = re.compile(r"\bvl\b")
_CLASSIFIER = re.compile(r"\b(seq-cls|seq-classification)\b")


def known_hub_id(model: str) -> bool:
    """True for a hub id that is known by its full name, owner included."""
    return any(model.startswith(known) for known in _HUB_IDS)


def format_by_name(model: str, *, classifier: bool = False) -> PromptFormat | None:
    """The format of a public checkpoint, by its hub id or the name of its folder; None when unknown.

    `classifier`: its head was made into a sequence classifier's, so only formats that are read at once apply.
    """
    owned = next((form for known, form in _HUB_IDS.items() if model.startswith(known)), None)
    if owned is not None and not classifier:
        return NAMED_FORMATS[owned]
    name = model.rpartition("/")[2].lower()
    if _OTHER_PROMPT.search(name) or (_CLASSIFIER.search(name) and not classifier):
        return None
    found = next((NAMED_FORMATS[form] for pattern, form in _WORDS if re.search(pattern, name)), None)
    unfit = classifier and found is not None and (found.reasons or found.grades)
    return None if unfit else found
