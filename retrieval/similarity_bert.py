"""A BERT cross-encoder that keeps the bi-encoder it was made from: its output is the classifier's plus the weighted
cosine of the bi-encoder's vectors of query and passage.

The bi-encoder's layers are frozen and share the word embeddings, so that what the bi-encoder knows of any subject is
still there after training on a few (docs/decisions/0022-the-bi-encoder-stays.md). Both parts read the same ids. For the
pair `[CLS] q q [SEP] p p p [SEP]` the classifier reads all 8 ids, and the bi-encoder two texts, whose vectors are the
means of its last hidden states, as in all-MiniLM-L6-v2:

    [CLS] q q [SEP]        [CLS] p p p [SEP]

Transformers does not have this architecture. `register` makes its Auto classes load it in this process, without code
from the model's folder; programs without it refuse the folder instead of scoring without the cosine.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
)
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.bert.modeling_bert import BertEncoder, BertPreTrainedModel

from contract.checkpoint.model_config import SIMILARITY_BERT, SIMILARITY_PREFIX

EVEN = 0.4  # the cosine at which MiniLM's relevant and irrelevant passages are about even


class SimilarityBertConfig(BertConfig):  # type: ignore[no-untyped-call]
    """`similarity_weight` is what a cosine counts in the output."""

    model_type = SIMILARITY_BERT

    similarity_weight: float = 14.0


class SimilarityBertForSequenceClassification(BertPreTrainedModel):  # type: ignore[no-untyped-call]
    """One output per pair. Token type 1 marks the passage."""

    config_class = SimilarityBertConfig

    def __init__(self, config: SimilarityBertConfig) -> None:
        super().__init__(config)
        self.num_labels = 1
        self.bert: Any = BertModel(config)  # type: ignore[no-untyped-call]
        self.similarity: Any = BertEncoder(config)  # type: ignore[no-untyped-call]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 1)
        self.post_init()  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> SimilarityBertForSequenceClassification:
        """Freezes the bi-encoder too, since transformers unfreezes what it loads; its cosines are without dropout."""
        super().train(mode)
        self.similarity.eval().requires_grad_(False)
        return self

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """All tensors are (pairs, longest); the mask is 0 behind the end of a pair. The logits are (pairs, 1).

        Raises ValueError without token types, which alone say where the passage begins.
        """
        if token_type_ids is None:
            raise ValueError("a bi-encoder beside a classifier needs token types: 1 marks the passage")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        types = token_type_ids
        pooled = self.bert(input_ids, attention_mask=mask, token_type_ids=types).pooler_output
        logits: Any = self.with_cosine(pooled, self._cosines(input_ids, mask, types))
        return SequenceClassifierOutput(logits=logits)

    def with_cosine(self, pooled: Tensor, cosines: Tensor) -> Tensor:
        """The outputs (pairs, 1) from the pooled states (pairs, hidden) and the cosines (pairs,)."""
        outputs: Tensor = self.classifier(self.dropout(pooled)).float()
        weight: float = self.config.similarity_weight
        return outputs + weight * cosines.unsqueeze(1)

    @torch.no_grad()
    def embedded(self, ids: Tensor, positions: Tensor) -> Tensor:
        """The states (rows, tokens, hidden) that the bi-encoder's layers begin with: all of token type 0."""
        table = self.bert.embeddings
        states: Tensor = table.LayerNorm(
            table.word_embeddings(ids) + table.position_embeddings(positions) + table.token_type_embeddings.weight[0]
        )
        return states

    @torch.no_grad()
    def _cosines(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        first = (mask * (1 - types)).sum(dim=1, keepdim=True)  # (pairs, 1): tokens before the passage
        second = (mask * types).sum(dim=1, keepdim=True)
        places = torch.arange(ids.shape[1] + 1, device=ids.device).unsqueeze(0)
        queries = slice(0, int(first.max()))
        # The passage's tokens behind a first one of their own, which is the pair's.
        longest = int(second.max()) + 1
        moved = (first + places[:, :longest] - 1).clamp(max=ids.shape[1] - 1)
        passages = torch.where(places[:, :longest] == 0, ids[:, :1], ids.gather(1, moved))
        query = self._vectors(ids[:, queries], (places[:, queries] < first).to(mask.dtype))
        passage = self._vectors(passages, (places[:, :longest] < second + 1).to(mask.dtype))
        return (query * passage).sum(dim=1)

    def _vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors (rows, hidden) in float32."""
        positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        states = self.embedded(ids, positions)
        bidirectional = create_bidirectional_mask(config=self.config, inputs_embeds=states, attention_mask=mask)
        hidden = self.similarity(states, attention_mask=bidirectional).last_hidden_state.float()
        weights = mask.unsqueeze(-1).float()
        return normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=1)


def register() -> None:
    """Registers the architecture with transformers. Idempotent."""
    AutoConfig.register(SIMILARITY_BERT, SimilarityBertConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(
        SimilarityBertConfig, SimilarityBertForSequenceClassification, exist_ok=True
    )


def join(
    classifier: BertForSequenceClassification, bi_encoder: BertModel, weight: float
) -> SimilarityBertForSequenceClassification:
    """A BERT classifier of one output with a bi-encoder beside it; a cosine of `EVEN` leaves its outputs as they are.

    Raises ValueError when the two differ in their word embeddings or in how they compute.
    """
    for name in ("num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps"):
        if getattr(classifier.config, name) != getattr(bi_encoder.config, name):
            raise ValueError(f"the bi-encoder has another {name} than the base")
    stated = {name: value for name, value in classifier.config.to_dict().items() if name != "model_type"}
    joined = SimilarityBertForSequenceClassification(SimilarityBertConfig(**stated, similarity_weight=weight))
    body: Any = classifier.bert
    beside: Any = bi_encoder
    own, others = body.embeddings.state_dict(), beside.embeddings.state_dict()
    if own.keys() != others.keys() or not all(torch.equal(own[name], others[name]) for name in own):
        raise ValueError("the bi-encoder has other word embeddings than the base")
    joined.bert.load_state_dict(body.state_dict())
    joined.classifier.load_state_dict(classifier.classifier.state_dict())
    joined.similarity.load_state_dict(beside.encoder.state_dict())
    with torch.no_grad():
        joined.classifier.bias.sub_(weight * EVEN)
    return joined.train(classifier.training)


def is_frozen(name: str) -> bool:
    """Whether a tensor of the network is the bi-encoder's, and so never trained."""
    return name.startswith(SIMILARITY_PREFIX)
