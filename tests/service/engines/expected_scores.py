"""The score that each named format's reference gives, from plain logits behind the reference's own ids."""

from __future__ import annotations

import math

import torch
from tokenizers import Tokenizer

from tests.service.engines.tiny_models import PlainLogits


def expected_raw(name: str, plain: PlainLogits, tokenizer: Tokenizer, ids: list[int]) -> float:
    """What `raw_scores` must be for a prompt of these ids, for a format without reasoning."""
    if name in ("tfrank", "erank"):
        return expected_grade(name, plain, tokenizer, ids)
    logits = plain.after(ids)

    def logit(token: str) -> float:
        number = tokenizer.token_to_id(token)
        assert number is not None, token
        return float(logits[number])

    match name:
        case "limrank":
            return logit("Ġtrue") - logit("Ġfalse")
        case "qwen3-reranker":
            return logit("yes") - logit("no")
        case "mxbai-rerank-base-v2":
            return logit("1") - logit("0") - 9 / 2
        case "mxbai-rerank-large-v2":
            return logit("1") - logit("0") - 12 / 2
        case "followir-7b":
            return logit("true") - logit("false")
        case "bge-reranker-v2-gemma":
            return logit("Yes")
        case "zerank":
            return logit("Yes") / 5
        case _:
            raise AssertionError(name)


def expected_grade(name: str, plain: PlainLogits, tokenizer: Tokenizer, ids: list[int]) -> float:
    """The expectation over all grades, token by token."""

    known: dict[tuple[int, ...], torch.Tensor] = {}

    def probability(context: list[int], token: str) -> float:
        number = tokenizer.token_to_id(token)
        assert number is not None, token
        if (at := tuple(context)) not in known:
            known[at] = plain.probabilities(context)
        return float(known[at][number])

    def id_of(token: str) -> int:
        number = tokenizer.token_to_id(token)
        assert number is not None
        return int(number)

    if name == "erank":
        weights = {grade: probability(ids, str(grade)) for grade in range(10)}
        ten = probability([*ids, id_of("1")], "0")
        weights[10] = weights[1] * ten
        weights[1] *= 1 - ten
    else:
        weights = {}
        for word, grades in (("no", (0, 1)), ("yes", (2, 3, 4))):
            begun = probability(ids, word)
            for grade in grades:
                weights[grade] = begun * probability([*ids, id_of(word), id_of("(")], str(grade))
    return math.fsum(grade * weight for grade, weight in weights.items()) / math.fsum(weights.values())
