"""Strings that no training trace may contain, whatever its source: those that end the reranker's own reasoning."""

from __future__ import annotations

from contract.prompt import LIMRANK
from llm.base import Reply
from llm.replies import Unusable

# The others are special strings of the tokenizers of Qwen and SmolLM2, which `contract` also refuses in a trace.
DELIMITERS = (LIMRANK.open, LIMRANK.close, "<|im_start|>", "<|im_end|>", "<|endoftext|>")


def delimiter_in(trace: str) -> str | None:
    """The delimiter that a trace contains, or None. A trainer refuses such a trace."""
    return next((delimiter for delimiter in DELIMITERS if delimiter in trace), None)


def read_trace(reply: Reply, written: str) -> str:
    """The trace of a judgement: the model's separate reasoning if the endpoint returns it, otherwise the text it wrote.

    Raises `Unusable` for one that contains a delimiter of the reranker's traces.
    """
    trace = reply.reasoning.strip() or written
    delimiter = delimiter_in(trace)
    if delimiter:
        raise Unusable("delimiter", f"the trace holds {delimiter}")
    return trace
