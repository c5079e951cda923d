"""The cosines of `retrieval.similarity_bert` for a batch without padding: each text in a span of its own.

Worked example, two pairs of one query, `[CLS] q [SEP] a b [SEP]` and `[CLS] q [SEP] c [SEP]`: the row is
`[CLS] q [SEP] [CLS] a b [SEP] [CLS] c [SEP]` with the lengths (3, 4, 3); `queries` is (0, 0) and `passages` (1, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from retrieval.similarity_bert import SimilarityBertForSequenceClassification
from service.engines.cross_encoder.packing import Spans


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of pairs, each query once: their ids in a row, their lengths, and the place of each pair's two."""

    ids: Tensor
    positions: Tensor
    lengths: tuple[int, ...]
    queries: tuple[int, ...]
    passages: tuple[int, ...]

    @classmethod
    def of(cls, pairs: Sequence[tuple[Sequence[int], int]], device: torch.device) -> Texts:
        """`pairs`: the ids of each and the index of its passage's first one."""
        places: dict[tuple[int, ...], int] = {}
        queries = tuple(places.setdefault(tuple(ids[:second]), len(places)) for ids, second in pairs)
        texts = [*places, *((ids[0], *ids[second:]) for ids, second in pairs)]
        return cls(
            ids=torch.tensor([[token for text in texts for token in text]], device=device),
            positions=torch.tensor([[at for text in texts for at in range(len(text))]], device=device),
            lengths=tuple(map(len, texts)),
            queries=queries,
            passages=tuple(range(len(places), len(texts))),
        )


def cosines(model: SimilarityBertForSequenceClassification, texts: Texts) -> Tensor:
    """The cosine of each pair, shape (pairs,), in float32."""
    spans = Spans.of(texts.lengths, model.device)
    states = model.embedded(texts.ids, texts.positions)
    hidden = model.similarity(states, spans=spans).last_hidden_state[0].float()  # (tokens, hidden)
    lengths = torch.tensor(texts.lengths, device=model.device)
    places = torch.arange(len(texts.lengths), device=model.device).repeat_interleave(lengths)
    sums = hidden.new_zeros(len(texts.lengths), hidden.shape[1]).index_add_(0, places, hidden)
    vectors = normalize(sums / lengths.unsqueeze(1), dim=1)
    return (vectors[list(texts.queries)] * vectors[list(texts.passages)]).sum(dim=1)
