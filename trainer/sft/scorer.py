"""Log-odds from a causal model in this process, for dev scores and for checking a merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from contract.segments import Segments
from contract.truncation import PassageFitter
from trainer.errors import BadData
from trainer.sft.generate import write_traces

# Passages at a time: a CPU gains nothing from more, while a GPU waits for each step of a trace. Tokens at a time: the
# plain attention that a model may have been trained with needs memory quadratic in the length of a sequence.
_ON_A_CPU, _ON_A_GPU = 16, 64
_TOKENS = 16_384

MAX_TOKENS = 2048


class QueryRoom:
    """The room that a query and its instruction leave in a sequence of `max_tokens`, of which `trace_tokens` are
    reserved for a trace."""

    def __init__(self, segments: Segments, *, max_tokens: int = MAX_TOKENS, trace_tokens: int = 0) -> None:
        self._segments = segments
        self._most = max_tokens - trace_tokens - len(segments.close)
        self._least = PassageFitter(segments.prompt).tail_tokens

    def __call__(self, query: str, instruction: str | None = None) -> tuple[list[int], int]:
        """The ids before the passage, and the number of tokens left for it and the prompt's end. Raises BadData when
        not even an empty passage fits."""
        prefix = self._segments.prompt.prefix(query, instruction)
        room = self._most - len(prefix)
        if room < self._least:
            raise BadData(
                f"{query[:80]!r} with its instruction has {len(prefix)} tokens, which leaves a passage no room in the "
                f"{self._most} that there are; leave it out."
            )
        return prefix, room


class CausalScorer:
    """Scores passages against a query as the service does, without its speed."""

    def __init__(
        self,
        model: Any,
        segments: Segments,
        *,
        max_tokens: int = MAX_TOKENS,
        passage_tokens: int | None = None,
        trace_tokens: int = 0,
        batch: int | None = None,
    ) -> None:
        """`model` is a causal transformers model, with or without LoRA. `trace_tokens` is 0 for direct mode, otherwise
        the longest trace that the model writes first. `batch`: passages at a time; default: by device."""
        self._model = model
        self._segments = segments
        self._fitter = PassageFitter(segments.prompt)
        self._room = QueryRoom(segments, max_tokens=max_tokens, trace_tokens=trace_tokens)
        self._passage_tokens = passage_tokens
        self._trace_tokens = trace_tokens
        on_a_gpu = next(model.parameters()).device.type == "cuda"
        self._batch = batch or (_ON_A_GPU if on_a_gpu else _ON_A_CPU)

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        """Log-odds of each passage, in the given order. Raises BadData for a query that leaves them no room."""
        prefix, room = self._room(query, instruction)
        prompts = [[*prefix, *rest.ids] for rest in self._fitter.fit(passages, room, self._passage_tokens)]
        by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        odds = [0.0] * len(prompts)
        was_training = self._model.training
        self._model.eval()
        with torch.inference_mode():
            while by_length:
                chosen, by_length = self._first(by_length, prompts)
                contexts = self._contexts([prompts[index] for index in chosen])
                for index, value in zip(chosen, self._log_odds(contexts), strict=True):
                    odds[index] = value
        self._model.train(was_training)
        return odds

    def _first(self, by_length: list[int], prompts: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
        """The indices of a batch of the shortest prompts, and the others; `by_length` are indices, shortest first."""
        count = 1
        while count < min(self._batch, len(by_length)) and (count + 1) * len(prompts[by_length[count]]) <= _TOKENS:
            count += 1
        return by_length[:count], by_length[count:]

    def _contexts(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        if not self._trace_tokens:
            return [self._segments.context(prompt) for prompt in prompts]
        written = write_traces(self._model, self._segments, prompts, self._trace_tokens)
        return [[*prompt, *reasoning.ids] for prompt, reasoning in zip(prompts, written, strict=True)]

    def _log_odds(self, contexts: Sequence[Sequence[int]]) -> list[float]:
        longest = max(map(len, contexts))
        device = next(self._model.parameters()).device
        ids = torch.tensor([[*context, *[0] * (longest - len(context))] for context in contexts], device=device)
        mask = torch.tensor(
            [[1] * len(context) + [0] * (longest - len(context)) for context in contexts], device=device
        )
        ends = torch.tensor([len(context) - 1 for context in contexts], device=device)
        keep, where = torch.unique(ends, return_inverse=True)  # passages of similar length share last positions
        logits = self._model(input_ids=ids, attention_mask=mask, logits_to_keep=keep, use_cache=False).logits
        last = logits[torch.arange(len(contexts), device=device), where].float()
        words = self._segments.verdict
        log_odds: list[float] = (last[:, words.true] - last[:, words.false]).tolist()
        return log_odds
