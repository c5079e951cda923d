"""Pairs per second of the cross-encoder engine with and without padding: `--device cpu` or `cuda`, `--dtype`.

Measures the shipped limrank-mini-ce, or `--model FOLDER`, in interleaved rounds; both scores must agree. On a GPU also
run it in bfloat16, where torch's variable-length attention is used.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time

import torch
from transformers import AutoModelForSequenceClassification

from service.engines.cross_encoder.encoder import pair_encoder
from service.engines.cross_encoder.model import CrossEncoderModel, Pair
from service.engines.device import resolve_device
from service.engines.dtype import resolve_dtype
from service.models.checkpoint import Checkpoint
from service.models.classifier import Classifier
from service.models.store import resolve

_TEXT = (
    "the of and in to a is was for on with as by from at river bank water stone history science market theory energy"
)
_SHAPES = {
    "10 passages of 10 to 200 words": (10, 10, 200),
    "64 of 10 to 200": (64, 10, 200),
    "64 of 100 words": (64, 100, 100),
}
_ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="limrank-mini-ce")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    given = parser.parse_args()
    checkpoint, device = resolve(given.model), resolve_device(given.device)
    packed = CrossEncoderModel.load(
        checkpoint.folder, dtype=given.dtype, device=device, classifier=checkpoint.classifier
    )
    padded = _padded(checkpoint, given.dtype, device)
    about = f"packed {packed.packed}; {platform.machine()}, torch {torch.__version__}"
    print(f"{given.model}, {device}, {given.dtype}, {about}")
    for name, (count, least, most) in _SHAPES.items():
        _measure(name, packed, padded, _pairs(checkpoint, packed.max_tokens, count, least, most))


def _padded(checkpoint: Checkpoint, dtype: str, device: torch.device) -> CrossEncoderModel:
    """The model as transformers loads it by default, with padding."""
    network = AutoModelForSequenceClassification.from_pretrained(
        checkpoint.folder, dtype=resolve_dtype(dtype, checkpoint.folder, device), local_files_only=True
    )
    model = CrossEncoderModel(network.to(device).eval(), checkpoint.classifier or Classifier())
    assert not model.packed
    return model


def _pairs(checkpoint: Checkpoint, max_tokens: int, count: int, least: int, most: int) -> list[Pair]:
    draw = random.Random(7)
    encoder = pair_encoder(checkpoint, max_tokens)
    query = encoder.query_ids("how does the river market energy work")
    texts = [" ".join(draw.choices(_TEXT.split(), k=draw.randint(least, most))) for _ in range(count)]
    made = [Pair(pair.ids, pair.second) for pair in encoder.pairs(query, texts)]
    return sorted(made, key=lambda pair: len(pair.ids))


def _measure(name: str, packed: CrossEncoderModel, padded: CrossEncoderModel, pairs: list[Pair]) -> None:
    seconds: dict[str, list[float]] = {"packed": [], "padded": []}
    for model in (packed, padded):
        model.logits(pairs)
    for _ in range(_ROUNDS):
        scores = {}
        for kind, model in (("packed", packed), ("padded", padded)):
            start = time.perf_counter()
            scores[kind] = model.logits(pairs)
            seconds[kind].append(time.perf_counter() - start)
    worst = max(abs(one - other) for one, other in zip(*scores.values(), strict=True))
    rates = {kind: len(pairs) / statistics.median(each) for kind, each in seconds.items()}
    tokens = sum(len(pair.ids) for pair in pairs)
    filled = tokens / (len(pairs) * max(len(pair.ids) for pair in pairs))
    ratio = rates["packed"] / rates["padded"]
    print(f"{name:32} {rates['packed']:8.1f} pairs/s, padded {rates['padded']:8.1f}: {ratio:.2f}x")
    print(f"    {filled:.2f} of the padded batch is text; scores differ by {worst:.1e}")


if __name__ == "__main__":
    main()
