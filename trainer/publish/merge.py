"""`limrank-train merge`: merges an adapter into its base, and checks the result before it gets its final name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from contract.checkpoint.manifest import Manifest
from contract.listed.model import is_list_model
from contract.segments import Segments
from trainer.errors import BadBase
from trainer.publish.library_files import write_library_files
from trainer.publish.merge_listed import merge_listed
from trainer.publish.merging import largest_change, merged, save_merged
from trainer.publish.model_card import Rounding, model_card, read_results
from trainer.run.dev_score import DEV, DevSet, dev_score
from trainer.run.folder import save_whole
from trainer.run.manifests import read_adapter, restated
from trainer.settings import Merge
from trainer.sft.examples import load_segments
from trainer.sft.lora import where_it_is_fast
from trainer.sft.scorer import CausalScorer

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PROBES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("How is the flu treated?", ("Rest and fluids help with influenza.", "The first railway opened in 1825.", "")),
    ("what is a reranker", ("A reranker orders passages by relevance.", "Bread is baked from flour and water.")),
    ("symptoms of gout", ("Gout causes sudden pain in a joint. " * 20, "Gout is treated with colchicine.")),
)


def merge(settings: Merge) -> None:
    """Writes the merged checkpoint to `settings.out`, or nothing. Raises TrainError."""
    if is_list_model(settings.adapter):
        merge_listed(settings, _DTYPES[settings.dtype])
        return
    manifest = read_adapter(settings.adapter, settings.base)
    segments = load_segments(settings.base)
    results = read_results(settings.results)
    whole = merged(settings, lambda model: _probe(model, segments), "log-odds")
    model, before, change = whole.model, whole.before, whole.change
    rounding = _round(model, segments, settings.dtype, DevSet.of(settings), before)
    scores = {**manifest.scores, **{name: value["scores"] for name, value in results.items()}}
    stated = replace(manifest, scores=scores)
    card = model_card(stated, rounding, results, change)
    unwritten = ""

    def write(part: Path) -> None:
        nonlocal unwritten
        _write(part, model, settings.base, stated, card)
        unwritten = write_library_files(part, segments) or ""

    save_whole(settings.out, write)
    print(f"Merged into {settings.out}; log-odds changed by at most {change:.1e} (float32).")  # noqa: T201
    print(_library(unwritten))  # noqa: T201
    if rounding.dtype != "float32":
        print(  # noqa: T201
            f"In {rounding.dtype} they change by at most {rounding.change:.4f} in {rounding.pairs} pairs"
            f"{_shown(rounding)}."
        )


def _probe(model: Any, segments: Segments) -> list[float]:
    scorer = CausalScorer(model, segments)
    return [odds for query, passages in _PROBES for odds in scorer.score(query, passages)]


class _Noting:
    """A scorer that records its log-odds, so that those of the dev pairs are compared too."""

    def __init__(self, scorer: CausalScorer) -> None:
        self._scorer = scorer
        self.odds: list[float] = []

    def score(self, query: str, passages: Sequence[str], instruction: str | None = None) -> list[float]:
        found = self._scorer.score(query, passages, instruction)
        self.odds += found
        return found


def _round(model: Any, segments: Segments, dtype: str, dev: DevSet | None, before: Sequence[float]) -> Rounding:
    """Rounds the weights to the stored number format. Measures the change in log-odds of the probes and of the dev
    pairs, and in the dev score."""
    model = where_it_is_fast(model)
    exact = _Noting(CausalScorer(model, segments))
    score = dev_score(exact, dev)
    pairs = len(before) + len(exact.odds)
    if dtype == "float32":
        return Rounding(dtype, 0.0, pairs, score, score)
    for weight in model.parameters():  # buffers are not stored, and are float32 after loading
        weight.data = weight.data.to(_DTYPES[dtype])
    rounded = _Noting(CausalScorer(model, segments))
    rounded_score = dev_score(rounded, dev)
    change = largest_change([*before, *exact.odds], [*_probe(model, segments), *rounded.odds])
    if math.isinf(change):
        raise BadBase(f"In {dtype} the model's log-odds are not all numbers; store it in another --dtype.")
    return Rounding(dtype, change, pairs, score, rounded_score)


def _write(folder: Path, model: Any, base: Path, manifest: Manifest, card: str) -> None:
    save_merged(folder, model, base, manifest.base)
    (folder / "README.md").write_text(card, encoding="utf-8")
    restated(manifest, folder).write(folder)


def _library(unwritten: str) -> str:
    if unwritten:
        return f"Sentence Transformers cannot load it exactly, so its files were not written: {unwritten}."
    return "Sentence Transformers loads it too: CrossEncoder(folder) gives its log-odds, times its temperature."


def _shown(rounding: Rounding) -> str:
    if rounding.exact is None or rounding.rounded is None:
        return ""
    return f", {DEV} from {rounding.exact['score']:.4f} to {rounding.rounded['score']:.4f}"
