"""A cross-encoder for its engine: pairs of ids in, one score each out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from contract.prompt import ContractError
from contract.truncation import position_count
from retrieval.similarity_bert import SimilarityBertForSequenceClassification, register
from service.engines.cross_encoder import packing, similarity
from service.engines.dtype import CPU
from service.engines.whole import first_line, load_whole
from service.errors import ModelStoreError
from service.models.classifier import Classifier

# These embed token types as words of their vocabulary, so their configurations count none.
_TYPES_AS_WORDS = ("ctrl", "flaubert", "gpt2", "gptj", "openai-gpt", "xlm")
_PROBE = 24  # tokens of the longer pair that shows whether a model reads padding
_ROUNDING, _ROUNDING_OF_SHORT_FORMATS = 1e-4, 0.05  # shares of an output


@dataclass(frozen=True, slots=True)
class Pair:
    """`ids` of a query and a passage; those from `second` on have token type 1."""

    ids: Sequence[int]
    second: int

    @property
    def type_ids(self) -> list[int]:
        return [0] * self.second + [1] * (len(self.ids) - self.second)


class CrossEncoderModel:
    """A sequence classifier with one or two outputs. Not thread-safe.

    Encoders pool their first token, or as their config says. Decoders are read at the last token of each pair that is
    not the padding id, as transformers does for a single pair, so that the padding never changes where they are read.
    If the architecture allows it, batches have no padding at all (`packing`); where it would show in the outputs
    (`reads_padding`), only pairs of equal length are computed together.
    """

    def __init__(self, model: Any, classifier: Classifier) -> None:
        config = model.config.get_text_config()
        self._model = model
        self._classifier = classifier
        self._pad: int | None = config.pad_token_id
        self._types = classifier.token_types and _takes_types(config)
        self._reads_last = isinstance(getattr(model, "score", None), torch.nn.Linear)
        self.packed: bool = model.config._attn_implementation == packing.IMPLEMENTATION
        before = getattr(getattr(model.base_model, "embeddings", None), "padding_idx", None)
        self._first_position = 0 if before is None else before + 1  # RoBERTa counts positions from the padding id
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.positions: int = _positions(model, classifier)
        self._reads_padding = False
        self.max_tokens: int = min(self.positions, classifier.max_tokens or self.positions)
        if self.dtype is not torch.float32:
            compute_head_in_float32(model)

    @classmethod
    def load(
        cls, folder: Path, *, dtype: str, device: torch.device = CPU, classifier: Classifier | None = None
    ) -> CrossEncoderModel:
        """Loads the model in `folder`; `dtype`: see `resolve_dtype`. Runs none of its code. Raises ModelStoreError."""
        packing.register()
        register()
        advice = (
            " as a cross-encoder; serve one made by limrank-train cross-encoder, or any *ForSequenceClassification "
            "that transformers itself has"
        )
        attention = {"attn_implementation": packing.IMPLEMENTATION} if packing.packs(_config(folder)) else {}
        model = load_whole(AutoModelForSequenceClassification, folder, advice, dtype=dtype, device=device, **attention)
        classifier = classifier or Classifier(labels=model.config.num_labels)
        try:
            made = cls(model.to(device).eval().requires_grad_(False), classifier)
        except ContractError as error:
            raise ModelStoreError(f"{folder} cannot be served: {error}") from error
        try:
            made._reads_padding = not made.packed and not made._reads_last and made.reads_padding()
        except (RuntimeError, ValueError, IndexError, TypeError) as error:  # what networks raise
            raise ModelStoreError(
                f"{folder} computes nothing from the ids of a pair alone ({first_line(error)}); serve another model."
            ) from error
        return made

    def reads_padding(self) -> bool:
        """True when padding behind a pair changes its outputs, as with convolutions or Fourier transforms over the
        whole row: a score would depend on which other pairs are in the batch."""
        length = min(_PROBE, self.max_tokens)
        words = range(min(self._model.config.get_text_config().vocab_size, _PROBE + 1))
        ids = [token for token in words if token != self._pad] * length
        short, whole = (Pair(ids[:tokens], tokens // 2) for tokens in (max(1, length // 2), length))
        with torch.inference_mode():
            alone, beside = self._padded([short])[0].float(), self._padded([short, whole])[0].float()
        margin = _ROUNDING if self.dtype is torch.float32 else _ROUNDING_OF_SHORT_FORMATS
        return bool((alone - beside).abs().max() > margin * (1 + alone.abs().max()))

    def logits(self, pairs: Sequence[Pair]) -> list[float]:
        """The score of each pair; all are computed in one batch."""
        with torch.inference_mode():
            if self._reads_padding:
                return self._by_length(pairs)
            outputs = self._packed(pairs) if self.packed else self._padded(pairs)  # (pairs, labels)
            return self._scores(outputs)

    def _by_length(self, pairs: Sequence[Pair]) -> list[float]:
        """The same with pairs of equal length together."""
        found = [0.0] * len(pairs)
        for length in {len(pair.ids) for pair in pairs}:
            at = [index for index, pair in enumerate(pairs) if len(pair.ids) == length]
            for index, score in zip(at, self._scores(self._padded([pairs[index] for index in at])), strict=True):
                found[index] = score
        return found

    def _scores(self, outputs: Tensor) -> list[float]:
        rows: list[list[float]] = outputs.float().tolist()
        return [self._classifier.score(each) for each in rows]

    def _packed(self, pairs: Sequence[Pair]) -> Tensor:
        """Outputs (pairs, labels) of all pairs concatenated in one row (1, tokens)."""
        spans = packing.Spans.of([len(pair.ids) for pair in pairs], self.device)
        first = self._first_position
        inputs = {
            "input_ids": [[token for pair in pairs for token in pair.ids]],
            "position_ids": [[first + at for pair in pairs for at in range(len(pair.ids))]],
        }
        if self._types:
            inputs["token_type_ids"] = [[kind for pair in pairs for kind in pair.type_ids]]
        body = self._model.base_model
        hidden = body(**self._tensors(inputs), **self._uncached, spans=spans).last_hidden_state[0]
        if self._reads_last:
            ends = [start + self._last(pair.ids) for start, pair in zip(spans.bounds, pairs, strict=False)]
            return self._read(hidden[ends])
        firsts = hidden[list(spans.bounds[:-1])][:, None]  # (pairs, 1, hidden): heads take the first token themselves
        pooler = getattr(body, "pooler", None)
        pooled = firsts if pooler is None else pooler(firsts)
        if isinstance(self._model, SimilarityBertForSequenceClassification):
            texts = similarity.Texts.of([(pair.ids, pair.second) for pair in pairs], self.device)
            return self._model.with_cosine(pooled, similarity.cosines(self._model, texts))
        return self._classified(pooled)

    def _padded(self, pairs: Sequence[Pair]) -> Tensor:
        """Outputs (pairs, labels) of pairs padded to the longest (pairs, longest)."""
        longest = max(len(pair.ids) for pair in pairs)
        padding = [longest - len(pair.ids) for pair in pairs]
        fill = self._pad or 0
        ids = [[*pair.ids, *[fill] * n] for pair, n in zip(pairs, padding, strict=True)]
        inputs = {"input_ids": ids, "attention_mask": [[1] * (longest - n) + [0] * n for n in padding]}
        if self._types:
            inputs["token_type_ids"] = [[*pair.type_ids, *[0] * n] for pair, n in zip(pairs, padding, strict=True)]
        if not self._reads_last:
            logits: Tensor = self._model(**self._tensors(inputs)).logits
            return logits
        hidden = self._model.base_model(**self._tensors(inputs), **self._uncached).last_hidden_state
        return self._read(hidden[list(range(len(pairs))), [self._last(pair.ids) for pair in pairs]])

    def _read(self, hidden: Tensor) -> Tensor:
        """A decoder's outputs from the hidden states at which it is read (pairs, hidden)."""
        outputs: Tensor = self._model.score(hidden)
        return outputs

    def _classified(self, pooled: Tensor) -> Tensor:
        outputs: Tensor = self._model.classifier(pooled)
        return outputs

    def _tensors(self, rows: Mapping[str, list[list[int]]]) -> dict[str, Tensor]:
        return {name: torch.tensor(each, device=self.device) for name, each in rows.items()}

    @property
    def _uncached(self) -> dict[str, bool]:
        """Decoders cache keys and values unless told not to; encoders do not know the argument."""
        return {"use_cache": False} if self._reads_last else {}

    def _last(self, ids: Sequence[int]) -> int:
        """The index of the last id that is not the padding id, which may also be an end of text; 0 if all are."""
        return next((at for at in range(len(ids) - 1, -1, -1) if ids[at] != self._pad), 0)


def _takes_types(config: Any) -> bool:
    return getattr(config, "type_vocab_size", 1) > 1 or config.model_type in _TYPES_AS_WORDS


def _positions(model: Any, classifier: Classifier) -> int:
    """The model's positions or, for one without any (ALiBi), the limit that its files state. Raises ContractError."""
    try:
        return position_count(model)
    except ContractError as error:
        if classifier.max_tokens is not None:
            return classifier.max_tokens
        raise ContractError(
            f"{str(error).rstrip('.')}; state it as max_seq_length in its sentence_bert_config.json."
        ) from error


def _config(folder: Path) -> Any:
    """Raises ModelStoreError when transformers cannot read it."""
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a wrong configuration can make the library raise anything
        raise ModelStoreError(
            f"transformers cannot read {folder / 'config.json'} ({first_line(error)}); fetch or save it again."
        ) from error


def compute_head_in_float32(model: Any) -> None:
    """Makes everything after the encoder's layers, pooling included, compute in float32: in a shorter format many pairs
    would get the same output."""
    body = model.base_model
    encoders = (body, getattr(model, "similarity", None))
    behind = [module for module in model.children() if module not in encoders]
    for module in (*behind, getattr(body, "pooler", None)):
        if module is not None and next(module.parameters(), None) is not None:
            module.float()
            module.register_forward_pre_hook(_to_float32, with_kwargs=True)


def _to_float32(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_float32, args)), {name: _float32(value) for name, value in kwargs.items()}


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
