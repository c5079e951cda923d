"""The ids of every named format as its maker's description makes them, written without the contract's own encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import Tokenizer

from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat
from tests.tokenizers import npm_tokenizer, qwen3_like_tokenizer, qwen_tokenizer, small_qwen3_like_tokenizer

Reference = Callable[[Tokenizer, str, str, str | None], list[int]]
CHATML_QWEN = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def rank1(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    query = f"{query} {instruction}" if instruction else query
    return _ids(
        tokenizer,
        "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'.\n"
        f"Query: {query}\nPassage: {document}\n<think>",
    )


def qwen3_reranker(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    instruction = instruction or "Given a web search query, retrieve relevant passages that answer the query"
    pair = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    return [*_ids(tokenizer, prefix), *_ids(tokenizer, pair), *_ids(tokenizer, suffix)]


def mxbai(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    stated = f"query: {query}"
    if instruction:
        stated = f"instruction: {instruction}\n{stated}"
    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. For each "
        "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
        "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
    )
    separator = _ids(tokenizer, "\n")
    return [
        *_ids(tokenizer, f"{CHATML_QWEN}<|im_start|>user\n"),
        *_ids(tokenizer, stated),
        *separator,
        *_ids(tokenizer, f"document: {document}"),
        *separator,
        *_ids(tokenizer, task),
        *_ids(tokenizer, "<|im_end|>\n<|im_start|>assistant\n"),
    ]


def followir(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    query = f"{query} {instruction}" if instruction else query
    text = (
        "<s> [INST] You are an expert Google searcher, whose job is to determine if the following document is relevant "
        "to the query (true/false). Answer using only one word, one of those two choices.\n\n"
        f"Query: {query}\nDocument: {document}\n"
        'Relevant (only output one word, either "true" or "false"): [/INST] '
    )
    ids: list[int] = tokenizer.encode(text).ids  # with the special tokens: a second <s>
    return ids


def bge_gemma(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    query = f"{query} {instruction}" if instruction else query  # the reference has no instruction
    prompt = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
        "prediction of either 'Yes' or 'No'."
    )
    separator = _ids(tokenizer, "\n")
    begin = tokenizer.token_to_id("<bos>")
    assert begin is not None
    pair: list[int] = [begin, *_ids(tokenizer, f"A: {query}"), *separator, *_ids(tokenizer, f"B: {document}")]
    return [*pair, *separator, *_ids(tokenizer, prompt)]


def zerank(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    if instruction:
        query = f"<query>{query}</query>\n<instruction>{instruction}</instruction>"
    return _ids(
        tokenizer,
        f"<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n",
    )


def tfrank(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    query = f"{query} {instruction}" if instruction else query  # the reference has no instruction of the call's
    system = "Based on the relevance of the Documents to the Query and the Instruct provided to complete the task.\n"
    task = """Please judge the relevance strength between the query and the document, and directly output the \
relevance judgment (yes or no), followed by the relevance score in parentheses, e.g., yes(score) or no(score).


- Relevance scores are represented by numbers from 0 to 4, with the following meanings:
0 means completely irrelevant,
1 means weakly relevant,
2 means moderately relevant,
3 means strongly relevant,
4 means completely relevant.

- For binary relevance judgment (yes or no), the rule is:
Scores 0 and 1 are considered irrelevant and represented as "no",
Scores 2, 3, and 4 are considered relevant and represented as "yes".


"""
    user = f"<Instruct>: {task}<Query>: {query}\n\n\n<Document>: {document} /no think\n"
    return _ids(
        tokenizer,
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n",
    )


def erank(tokenizer: Tokenizer, query: str, document: str, instruction: str | None) -> list[int]:
    instruction = instruction or "Given a web search query, retrieve relevant passages that answer the query"
    text = (
        "Given a query and a document, please give a relevance score of 0~10.\n"
        f"The goal or relevance definition is: {instruction}\n\nHere is the query:\n{query}\n\n"
        f"Here is the document:\n{document}\n\nAfter thinking, directly choose a relevance score from "
        "[0, 1, ..., 10].\n- 0 represents completely not related\n- 10 means perfectly related.\n\n"
        "Desired output format:\n"
        "<think>put your thinking here</think><answer>Only allows an integer here</answer>\n\nYour output:"
    )
    # What the model writes first, whatever it is asked, is put there for it.
    return _ids(tokenizer, f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n<think>\n")


@dataclass(frozen=True)
class Named:
    """A named format, what its ids must be, and the tokenizers that its checkpoints have (or one with their seams)."""

    format: str
    reference: Reference
    tokenizers: tuple[str, ...]
    wrapper: tuple[str, ...]  # special strings of the prompt

    @property
    def prompt_format(self) -> PromptFormat:
        return NAMED_FORMATS[self.format]


_CHAT = ("<|im_start|>", "<|im_end|>")
NAMED = (
    Named("limrank", rank1, ("qwen2.5",), ()),
    Named("qwen3-reranker", qwen3_reranker, ("qwen3", "qwen3-like"), (*_CHAT, "<think>", "</think>")),
    Named("mxbai-rerank-base-v2", mxbai, ("qwen2.5",), _CHAT),
    Named("mxbai-rerank-large-v2", mxbai, ("qwen2.5",), _CHAT),
    Named("followir-7b", followir, ("mistral",), ("<s>",)),
    Named("bge-reranker-v2-gemma", bge_gemma, ("gemma",), ("<bos>",)),
    Named("zerank", zerank, ("qwen3", "qwen3-like"), _CHAT),
    Named("tfrank", tfrank, ("qwen3", "qwen3-like"), (*_CHAT, "<think>", "</think>")),
    Named("erank", erank, ("qwen3", "qwen3-like"), (*_CHAT, "<think>", "</think>")),
)


def tokenizer_named(name: str) -> Tokenizer:
    """A tokenizer of `Named.tokenizers`, or `small-qwen3-like`; skips the test where it was not fetched."""
    known = {
        "qwen2.5": qwen_tokenizer,
        "qwen3-like": qwen3_like_tokenizer,
        "small-qwen3-like": small_qwen3_like_tokenizer,
    }
    return known[name]() if name in known else npm_tokenizer(name)
