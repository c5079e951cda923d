"""Log-odds of a causal model in this process, in direct mode: for dev scores and for checking a merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from contract.segments import Segments
from contract.truncation import PassageFitter


class CausalScorer:
    """Scores passages against a query as the service does in direct mode, without its speed."""

    def __init__(
        self,
        model: Any,
        segments: Segments,
        *,
        max_tokens: int = 2048,
        passage_tokens: int | None = None,
        batch: int = 16,
    ) -> None:
        """`model` is a causal model of transformers, with or without LoRA."""
        self._model = model
        self._segments = segments
        self._fitter = PassageFitter(segments.prompt)
        self._max_tokens = max_tokens
        self._passage_tokens = passage_tokens
        self._batch = batch

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        """Log-odds of each passage, in the order given."""
        prefix = self._segments.prompt.prefix(query, instruction)
        room = self._max_tokens - len(prefix) - len(self._segments.close)
        rests = self._fitter.fit(passages, room, self._passage_tokens)
        contexts = [self._segments.context([*prefix, *rest.ids]) for rest in rests]
        by_length = sorted(range(len(contexts)), key=lambda index: len(contexts[index]))
        odds = [0.0] * len(contexts)
        was_training = self._model.training
        self._model.eval()
        with torch.inference_mode():
            for start in range(0, len(contexts), self._batch):
                chosen = by_length[start : start + self._batch]
                for index, one in zip(chosen, self._log_odds([contexts[index] for index in chosen]), strict=True):
                    odds[index] = one
        self._model.train(was_training)
        return odds

    def _log_odds(self, contexts: Sequence[Sequence[int]]) -> list[float]:
        longest = max(map(len, contexts))
        device = next(self._model.parameters()).device
        ids = torch.tensor([[*context, *[0] * (longest - len(context))] for context in contexts], device=device)
        mask = torch.tensor(
            [[1] * len(context) + [0] * (longest - len(context)) for context in contexts], device=device
        )
        ends = torch.tensor([len(context) - 1 for context in contexts], device=device)
        keep, where = torch.unique(ends, return_inverse=True)  # passages of like length share most last positions
        logits = self._model(input_ids=ids, attention_mask=mask, logits_to_keep=keep, use_cache=False).logits
        last = logits[torch.arange(len(contexts), device=device), where].float()
        words = self._segments.verdict
        return [float(one) for one in last[:, words.true] - last[:, words.false]]
