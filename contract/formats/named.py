"""The formats that are known by name, character for character as their authors write them.

Where the author's code encodes parts of a prompt separately, each part is a piece here. Where it encodes one string,
the pieces are cut where the tokenizer merges nothing, so that their ids equal the string's (tests/contract/formats
check both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from contract.formats.prompt_format import LIMRANK, PromptFormat

_CHAT = ("<|im_start|>", "<|im_end|>")
_THINK = ("<think>", "</think>")
_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"

# QwenLM/Qwen3-Embedding, and the card of Qwen/Qwen3-Reranker-*: prefix and suffix are encoded separately from the text
# between them. The default instruction is the card's.
QWEN3_RERANKER = PromptFormat(
    name="qwen3-reranker",
    prompt=(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
        "<Instruct>: {instruction}\n<Query>: {query}\n<Document>:",
        " {document}",
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    default_instruction=_WEB_SEARCH,
    true_words=("yes",),
    false_words=("no",),
    special=_CHAT,
    delimiters=_THINK,
)

# mixedbread-ai/mxbai-rerank, mxbai_rerank_v2.py: every part is encoded separately. `normalize` subtracts m / 2, where m
# is 9 for base and 12 for large.
_MXBAI_HEAD = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
_MXBAI_REST = (
    "\n",
    "document: {document}",
    "\n",
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
    "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 "
    "for not relevant, 1 for relevant).\nRelevance:",
    "<|im_end|>\n<|im_start|>assistant\n",
)
MXBAI_RERANK_BASE_V2 = PromptFormat(
    name="mxbai-rerank-base-v2",
    prompt=(_MXBAI_HEAD, "instruction: {instruction}\nquery: {query}", *_MXBAI_REST),
    prompt_without_instruction=(_MXBAI_HEAD, "query: {query}", *_MXBAI_REST),
    true_words=("1",),
    false_words=("0",),
    offset=-4.5,
    special=_CHAT,
)
MXBAI_RERANK_LARGE_V2 = replace(MXBAI_RERANK_BASE_V2, name="mxbai-rerank-large-v2", offset=-6.0)

# orionw/FollowIR and mteb: one string after a second <s>, by Mistral's tokenizer, which adds a space before every text
# that it encodes alone. The piece that begins with the passage therefore represents " {document}".
_FOLLOWIR_HEAD = (
    "<s> [INST] You are an expert Google searcher, whose job is to determine if the following document is relevant to "
    "the query (true/false). Answer using only one word, one of those two choices.\n\nQuery: {query}"
)
_FOLLOWIR_END = '{document}\nRelevant (only output one word, either "true" or "false"): [/INST] '
FOLLOWIR_7B = PromptFormat(
    name="followir-7b",
    prompt=("<s>", f"{_FOLLOWIR_HEAD} {{instruction}}\nDocument:", _FOLLOWIR_END),
    prompt_without_instruction=("<s>", f"{_FOLLOWIR_HEAD}\nDocument:", _FOLLOWIR_END),
    true_words=("true",),
    false_words=("false",),
    words_as="vocabulary",
    special=("<s>",),
    delimiters=("[INST]", "[/INST]"),
)

# FlagOpen/FlagEmbedding, inference/reranker/decoder_only/base.py: every part is encoded separately; one word's logit.
BGE_RERANKER_V2_GEMMA = PromptFormat(
    name="bge-reranker-v2-gemma",
    prompt=(
        "<bos>",
        "A: {query}",
        "\n",
        "B: {document}",
        "\n",
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
        "prediction of either 'Yes' or 'No'.",
    ),
    true_words=("Yes",),
    words_as="vocabulary",
    special=("<bos>",),
)

# zeroentropy-ai/zcookbook: one string by the chat template; one word's logit, divided by 5.
ZERANK = PromptFormat(
    name="zerank",
    prompt=(
        "<|im_start|>system\n<query>{query}</query>\n<instruction>{instruction}</instruction><|im_end|>\n"
        "<|im_start|>user",
        "\n{document}<|im_end|>\n<|im_start|>assistant\n",
    ),
    prompt_without_instruction=(
        "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user",
        "\n{document}<|im_end|>\n<|im_start|>assistant\n",
    ),
    true_words=("Yes",),
    scale=5.0,
    special=_CHAT,
)

# JOHNNY-fans/TFRank, evaluation/run_eval.py, without thinking. The first answer is read, then the score in brackets.
TFRANK = PromptFormat(
    name="tfrank",
    prompt=(
        "<|im_start|>system\nBased on the relevance of the Documents to the Query and the Instruct provided to "
        "complete the task.\n<|im_end|>\n<|im_start|>user\n<Instruct>: Please judge the relevance strength between the "
        "query and the document, and directly output the relevance judgment (yes or no), followed by the relevance "
        "score in parentheses, e.g., yes(score) or no(score).\n\n\n- Relevance scores are represented by numbers from "
        "0 to 4, with the following meanings:\n0 means completely irrelevant,\n1 means weakly relevant,\n2 means "
        "moderately relevant,\n3 means strongly relevant,\n4 means completely relevant.\n\n- For binary relevance "
        'judgment (yes or no), the rule is:\nScores 0 and 1 are considered irrelevant and represented as "no",\nScores '
        '2, 3, and 4 are considered relevant and represented as "yes".\n\n\n<Query>: {query}\n\n\n<Document>:',
        " {document} /no think\n<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    grades=(("no(0", 0.0), ("no(1", 1.0), ("yes(2", 2.0), ("yes(3", 3.0), ("yes(4", 4.0)),
    special=_CHAT,
    delimiters=_THINK,
)

# The card of ERank-4B: a grade of 0 to 10 after the model's own reasoning; the prompt opens the think tag for it.
ERANK = PromptFormat(
    name="erank",
    prompt=(
        "<|im_start|>user\nGiven a query and a document, please give a relevance score of 0~10.\nThe goal or relevance "
        "definition is: {instruction}\n\nHere is the query:\n{query}\n\nHere is the document",
        ":\n{document}\n\nAfter thinking, directly choose a relevance score from [0, 1, ..., 10].\n- 0 represents "
        "completely not related\n- 10 means perfectly related.\n\nDesired output format:\n<think>put your thinking "
        "here</think><answer>Only allows an integer here</answer>\n\nYour output:<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n",
    ),
    default_instruction=_WEB_SEARCH,
    open="<think>",
    close="</think>",
    answer="<answer>",
    grades=tuple((str(grade), float(grade)) for grade in range(11)),
    special=_CHAT,
)

NAMED_FORMATS: Mapping[str, PromptFormat] = {
    each.name: each
    for each in (
        LIMRANK,
        QWEN3_RERANKER,
        MXBAI_RERANK_BASE_V2,
        MXBAI_RERANK_LARGE_V2,
        FOLLOWIR_7B,
        BGE_RERANKER_V2_GEMMA,
        ZERANK,
        TFRANK,
        ERANK,
    )
}
