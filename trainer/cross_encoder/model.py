"""The cross-encoder: an encoder with one output, made from any BERT-like encoder; its batches and its scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification, BertModel

from contract.checkpoint.manifest import FILE_NAME
from contract.checkpoint.model_config import read_json_object
from contract.pairs import Pair, PairEncoder
from contract.prompt import ContractError
from contract.truncation import position_count
from retrieval.similarity_bert import SimilarityBertForSequenceClassification, join, register
from trainer.cross_encoder.groups import Row
from trainer.errors import BadBase, BadData

_CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")
_OUTPUTS_UNLESS_STATED = 2  # of transformers, which leaves two unnamed labels out of config.json


@dataclass(frozen=True, slots=True)
class BesideIt:
    """A bi-encoder that stays in the network (`retrieval.similarity_bert`): its folder, what its cosines count, and
    what the base's outputs are multiplied with before."""

    bi_encoder: Path
    weight: float
    base_scale: float


def load_encoder(
    base: Path,
    *,
    seed: int,
    train_embeddings: bool,
    dropout: float | None = None,
    beside: BesideIt | None = None,
) -> CrossEncoder:
    """Loads the base with one output, which is new unless the base is a cross-encoder already.

    `dropout` None: that of the base. Raises BadBase when the folder is not a readable encoder.
    """
    register()
    if not (base / "config.json").is_file():
        raise BadBase(f"{base} has no config.json, so it is not a model folder; correct --base.")
    _check_outputs(base)
    torch.manual_seed(seed)
    try:
        model: CrossEncoder = CrossEncoder(str(base), num_labels=1, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadBase(f"{base} cannot be loaded as an encoder: {str(error).splitlines()[0]}") from error
    _keep_the_network(model, base)
    if beside is not None:
        _join(model, base, beside)
    if dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
    if isinstance(network(model), SimilarityBertForSequenceClassification) and train_embeddings:
        raise BadBase(f"The bi-encoder of {base} needs the word embeddings as they are; leave out --train-embeddings.")
    if not train_embeddings:
        network(model).base_model.embeddings.requires_grad_(False)
    return model


def _join(model: CrossEncoder, base: Path, beside: BesideIt) -> None:
    """Puts the bi-encoder beside the network. Raises BadBase when they do not fit."""
    inner = network(model)
    if not isinstance(inner, BertForSequenceClassification):
        raise BadBase(f"{base} is a {type(inner).__name__}; --bi-encoder needs a BERT that has none, so leave it out.")
    try:
        loaded: Any = BertModel.from_pretrained(beside.bi_encoder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadBase(f"{beside.bi_encoder} cannot be loaded as a BERT: {str(error).splitlines()[0]}") from error
    bi_encoder, info = loaded
    if missing := sorted(name for name in info["missing_keys"] if not name.startswith("pooler.")):
        raise BadBase(f"{beside.bi_encoder} is no BERT: it lacks {missing[0]}; name another --bi-encoder.")
    if not _pools_means(beside.bi_encoder):
        raise BadBase(f"{beside.bi_encoder} does not take the mean of its states as a text's vector; name another one.")
    with torch.no_grad():
        inner.classifier.weight.mul_(beside.base_scale)
        inner.classifier.bias.mul_(beside.base_scale)
    try:
        model[0].model = join(inner, bi_encoder, beside.weight)
    except ValueError as error:
        raise BadBase(f"{beside.bi_encoder} cannot stay beside {base}: {error}.") from error


def _pools_means(bi_encoder: Path) -> bool:
    """Whether the folder says so, in the file of Sentence Transformers; True without one."""
    stated = bi_encoder / "1_Pooling" / "config.json"
    return not stated.is_file() or bool(read_json_object(stated).get("pooling_mode_mean_tokens"))


def _check_outputs(base: Path) -> None:
    """Raise BadBase for a classifier of several outputs, whose last layer cannot become one of a single output."""
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        named, labels = config.get("architectures") or [], config.get("id2label")
    except (OSError, ValueError, AttributeError):
        return  # whoever loads it says what is wrong
    if any(str(name).endswith(_CLASSIFIERS) for name in named):
        outputs = len(labels) if isinstance(labels, dict) else _OUTPUTS_UNLESS_STATED
        if outputs != 1:
            raise BadBase(
                f"{base} is a classifier of {outputs} outputs ({named[0]}), and a cross-encoder has one; name the "
                "encoder that it was made from, or a cross-encoder of one output, as --base."
            )


def check_positions(model: CrossEncoder, base: Path, max_tokens: int) -> None:
    """Raises BadBase when pairs may be longer than the base has positions."""
    try:
        positions = position_count(network(model))
    except ContractError as error:
        raise BadBase(f"{base} cannot be trained: {error}") from error
    if max_tokens > positions:
        raise BadBase(f"{base} has positions for {positions} tokens, and --max-tokens {max_tokens} is more; lower it.")


def _keep_the_network(model: CrossEncoder, base: Path) -> None:
    """Removes the layer that divides by the temperature after the network of a cross-encoder of ours; the temperature
    is fitted again.

    Raises BadBase when another layer follows the network.
    """
    if len(model) > 1 and not (base / FILE_NAME).is_file():
        others = ", ".join(type(module).__name__ for module in list(model)[1:])
        raise BadBase(f"{base} has {others} behind its network, which is not trained here; name another --base.")
    while len(model) > 1:
        del model[-1]


def network(model: CrossEncoder) -> Any:
    """The transformers model inside."""
    return model[0].model


def load_pair_encoder(base: Path, max_tokens: int) -> PairEncoder:
    """The pair encoder for `base`, which must contain tokenizer.json. Raises BadBase."""
    try:
        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return PairEncoder(tokenizer, max_tokens)
    except ContractError as error:
        raise BadBase(str(error)) from error
    except Exception as error:
        raise BadBase(f"{base / 'tokenizer.json'} cannot be read: {error}.") from error


def encode_row(encoder: PairEncoder, row: Row) -> list[Pair]:
    """The pairs of a group. Raises BadData for a query that leaves less than a quarter of a pair to the passage."""
    query = encoder.query_ids(row.query, row.instruction)
    if encoder.room(query) < encoder.max_tokens // 4:
        raise BadData(
            f"The query {row.query[:80]!r} with its instruction has {len(query)} tokens, which leaves less than a "
            f"quarter of --max-tokens {encoder.max_tokens} to the passage; raise it or leave the query out."
        )
    return encoder.pairs(query, row.passages)


class PairRoom:
    """Checks that a query leaves enough room for a passage."""

    def __init__(self, encoder: PairEncoder) -> None:
        self._encoder = encoder

    def __call__(self, query: str, instruction: str | None = None) -> None:
        """Raises BadData when it does not."""
        encode_row(self._encoder, Row(query, instruction, ()))


def pad(pairs: Sequence[Pair], pad_id: int) -> dict[str, torch.Tensor]:
    """Tensors of shape (pairs, longest)."""
    longest = max(len(pair.ids) for pair in pairs)
    ids = [[*pair.ids] + [pad_id] * (longest - len(pair.ids)) for pair in pairs]
    types = [pair.type_ids + [0] * (longest - len(pair.ids)) for pair in pairs]
    mask = [[1] * len(pair.ids) + [0] * (longest - len(pair.ids)) for pair in pairs]
    return {
        "input_ids": torch.tensor(ids),
        "attention_mask": torch.tensor(mask),
        "token_type_ids": torch.tensor(types),
    }


class GroupCollator:
    """Turns rows of a dataset, as made by `dataset_row`, into the padded pairs of all their groups, in order, with the
    sizes of the groups, whether they are labelled, and the teacher's scores of the pairs (NaN without a teacher)."""

    valid_label_columns: tuple[str, ...] = ()  # required by sentence-transformers' trainer

    def __init__(self, encoder: PairEncoder, pad_id: int) -> None:
        self._encoder = encoder
        self._pad_id = pad_id

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, dict[str, torch.Tensor]]:
        rows = [Row(row["query"], row["instruction"], tuple(row["passages"])) for row in features]
        batch = pad([pair for row in rows for pair in encode_row(self._encoder, row)], self._pad_id)
        teacher = [row["teacher"] or [math.nan] * len(row["passages"]) for row in features]
        batch["sizes"] = torch.tensor([len(row.passages) for row in rows])
        batch["labelled"] = torch.tensor([bool(row["labelled"]) for row in features])
        batch["teacher"] = torch.tensor([score for scores in teacher for score in scores])
        return {"pairs": batch}


def dataset_row(row: Row) -> dict[str, Any]:
    """A group as a row of a dataset."""
    return {
        "query": row.query,
        "instruction": row.instruction,
        "passages": row.passages,
        "labelled": row.labelled,
        "teacher": row.teacher,
    }


class PairScorer:
    """Log-odds of pairs from a model in this process, for dev scores and calibration, in batches by length."""

    def __init__(self, model: CrossEncoder, encoder: PairEncoder, batch: int = 32) -> None:
        self._model = model
        self._encoder = encoder
        self._batch = batch

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        """The raw output for each passage, before bias and temperature are fitted."""
        pairs = encode_row(self._encoder, Row(query, instruction, tuple(passages)))
        by_length = sorted(range(len(pairs)), key=lambda index: len(pairs[index].ids))
        scores = [0.0] * len(pairs)
        was_training = self._model.training
        self._model.eval()
        with torch.no_grad():  # not inference mode, whose tensors later training could not use
            for start in range(0, len(pairs), self._batch):
                chosen = by_length[start : start + self._batch]
                inputs = pad([pairs[index] for index in chosen], pad_id(self._model))
                found = self._model({name: tensor.to(self._model.device) for name, tensor in inputs.items()})["scores"]
                for index, score in zip(chosen, found.float().flatten().tolist(), strict=True):
                    scores[index] = score
        self._model.train(was_training)
        return scores


def pad_id(model: CrossEncoder) -> int:
    return int(network(model).config.pad_token_id or 0)
