"""Log-odds of a causal model in this process: for dev scores and for checking a merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from contract.segments import Segments
from contract.truncation import PassageFitter
from trainer.greedy_traces import write_traces

_ON_A_CPU, _ON_A_GPU = 16, 64  # passages at a time: a CPU gains nothing from more, a GPU waits for each step of a trace


class CausalScorer:
    """Scores passages against a query as the service does, without its speed."""

    def __init__(
        self,
        model: Any,
        segments: Segments,
        *,
        max_tokens: int = 2048,
        passage_tokens: int | None = None,
        trace_tokens: int = 0,
        batch: int | None = None,
    ) -> None:
        """`model` is a causal model of transformers, with or without LoRA. `trace_tokens`: 0 is direct mode, else the
        model writes a trace of at most so many tokens first. `batch`: passages at a time; default: what suits the
        device."""
        self._model = model
        self._segments = segments
        self._fitter = PassageFitter(segments.prompt)
        self._max_tokens = max_tokens
        self._passage_tokens = passage_tokens
        self._trace_tokens = trace_tokens
        self._batch = batch or (_ON_A_GPU if torch.cuda.is_available() else _ON_A_CPU)

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        """Log-odds of each passage, in the order given."""
        prefix = self._segments.prompt.prefix(query, instruction)
        room = self._max_tokens - len(prefix) - self._trace_tokens - len(self._segments.close)
        prompts = [[*prefix, *rest.ids] for rest in self._fitter.fit(passages, room, self._passage_tokens)]
        by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        odds = [0.0] * len(prompts)
        was_training = self._model.training
        self._model.eval()
        with torch.inference_mode():
            for start in range(0, len(prompts), self._batch):
                chosen = by_length[start : start + self._batch]
                contexts = self._contexts([prompts[index] for index in chosen])
                for index, one in zip(chosen, self._log_odds(contexts), strict=True):
                    odds[index] = one
        self._model.train(was_training)
        return odds

    def _contexts(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        if not self._trace_tokens:
            return [self._segments.context(prompt) for prompt in prompts]
        written = write_traces(self._model, self._segments, prompts, self._trace_tokens)
        return [self._segments.context_after(prompt, ids) for prompt, ids in zip(prompts, written, strict=True)]

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
