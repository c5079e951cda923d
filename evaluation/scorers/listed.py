"""Setwise and listwise models of `limrank-train sft --format`, run by transformers in this process.

A query's candidates are ordered in windows from the last to the first, each of which begins half a window before the
one behind it, so that what is relevant moves to the front (RankGPT, Sun et al. 2023, arXiv 2304.09542). A setwise model
orders a window by the probabilities of its letters, a listwise one letter by letter. Scores are places in that order:
they say nothing across queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from contract.listed.model import ListModelError, read_list_model
from contract.listed.prompt import ListPrompt
from contract.listed.rows import ListKind
from contract.prompt import ContractError
from evaluation.benchmarks.task import Query, Task
from evaluation.errors import BadSettings, ScorerFailed
from evaluation.scorers.local_service import weights_hash
from evaluation.scorers.scorer import Scored


class ListReranker:
    """Orders all candidates of a query. `folder` is a merged model of `limrank-train merge`."""

    concurrency = 1

    def __init__(self, folder: str) -> None:
        """Raises BadSettings for a folder that is no such model."""
        try:
            self._stated = read_list_model(Path(folder))
            self._model = _loaded(folder)
            tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
            self._prompt = ListPrompt(self._stated.kind, tokenizer)
        except (ListModelError, ContractError) as error:
            raise BadSettings(str(error)) from None
        except (OSError, ValueError) as error:
            raise BadSettings(
                f"The list model {folder} cannot be loaded ({str(error).splitlines()[0]}); name the folder that "
                "limrank-train merge wrote."
            ) from None
        self._model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self.name = f"{self._stated.kind} {Path(folder).name}"
        self._identity: dict[str, Any] = {
            "kind": str(self._stated.kind),
            "model": folder,
            "weights": weights_hash(folder),
            "window": self._stated.window,
            "max_tokens": self._stated.tokens,
        }

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    def prepare(self, task: Task) -> None:
        """Nothing to do."""

    def score(self, query: Query, passages: Sequence[tuple[str, str]]) -> list[Scored]:
        order = list(range(len(passages)))
        window = self._stated.window
        for start in _starts(len(order), window):
            shown = order[start : start + window]
            ranked = self._ranked(query, [passages[index][1] for index in shown])
            order[start : start + window] = [shown[place] for place in ranked]
        place_of = {index: place for place, index in enumerate(order)}
        return [Scored(float(-place_of[index])) for index in range(len(passages))]

    def close(self) -> None:
        """Nothing to free."""

    def _ranked(self, query: Query, texts: Sequence[str]) -> list[int]:
        """The places of `texts`, best first."""
        if len(texts) < 2:
            return list(range(len(texts)))
        written = 1 + (len(texts) - 1) * (1 + len(self._prompt.separator))
        answer = 1 if self._stated.kind is ListKind.SETWISE else written
        try:
            ids, _ = self._prompt.ids(query.text, texts, query.instruction, self._stated.tokens - answer)
        except ContractError as error:
            raise ScorerFailed(f"Query {query.id!r}: {error}") from None
        if self._stated.kind is ListKind.SETWISE:
            values = self._letters(ids, len(texts))
            return sorted(range(len(texts)), key=lambda place: (-values[place], place))
        return self._written(ids, len(texts))

    def _written(self, ids: list[int], count: int) -> list[int]:
        """The order that the model writes, where each letter must be one that it has not written yet."""
        order: list[int] = []
        left = set(range(count))
        while len(left) > 1:
            values = self._letters(
                [*ids, *self._prompt.answer(order), *(self._prompt.separator if order else ())], count
            )
            best = min(left, key=lambda place: (-values[place], place))
            order.append(best)
            left.remove(best)
        return [*order, *left]

    def _letters(self, ids: Sequence[int], count: int) -> list[float]:
        """The logits of the first `count` letters behind `ids`."""
        with torch.inference_mode():
            inputs = torch.tensor([list(ids)], device=self._model.device)
            logits = self._model(input_ids=inputs, logits_to_keep=1, use_cache=False).logits[0, -1]
        values: list[float] = logits[list(self._prompt.letters[:count])].float().tolist()
        return values


def _loaded(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _starts(count: int, window: int) -> list[int]:
    """Where the windows begin, the last one first."""
    step = max(1, window // 2)
    starts = [max(0, count - window)]
    while starts[-1] > 0:
        starts.append(max(0, starts[-1] - step))
    return starts
