"""How long the steps will take on this machine, from the speed of the bi-encoder on a few of the passages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.tune.documents.passages import Passage
from app.tune.groups.candidates import RERANKED, open_encoder
from app.tune.groups.filtering import NEGATIVES
from app.tune.results.fusing import MOST_RESERVED, RESERVED
from app.tune.settings import Tune
from app.tune.training import TrainingPlan, held_out
from synth.run.draws import draw
from trainer.run.ready import precision_of

_TRIED = 32  # passages
# What a pair costs in passes of the bi-encoder over a passage: the cross-encoder reads the query too and has a
# bi-encoder beside it; training goes forwards and backwards, in bfloat16 where the CPU has units for it.
_SCORED = 2.2
_TRAINED = {"float32": 4.4, "bfloat16": 1.4}
_LOOKS = 7  # at the groups held out of the training
_STARTING = 8.0  # seconds in which libraries and models are loaded


def seconds_each(passages: Sequence[Passage], bi_encoder: str | Path) -> float:
    """Seconds of a forward pass over one passage, measured."""
    encoder = open_encoder(bi_encoder)
    tried = [each.text for each in sorted(passages, key=lambda each: draw(each.id, "tried"))[:_TRIED]]
    encoder.encode_passages(tried[:4])  # the first pass allocates
    begun = time.perf_counter()
    encoder.encode_passages(tried)
    return (time.perf_counter() - begun) / len(tried)


def expected(settings: Tune, plan: TrainingPlan, each: float, passages: int, written: bool) -> Mapping[str, float]:
    """Seconds by step, at most: where all queries wanted are found. Calls of a language model are not counted."""
    groups = min(settings.groups, passages) if not written else settings.llm_queries
    tested = min(settings.test_queries, passages // 4) if not written else settings.llm_queries // 4
    pairs = groups * plan.epochs_of(max(groups, 1)) * (1 + NEGATIVES) * _TRAINED[precision_of("auto")]
    looked_at = _LOOKS * held_out(groups) * (1 + NEGATIVES) * _SCORED
    return {
        "queries": 1 + passages / 2000,
        "vectors": passages * each,
        "candidates": 2 + (groups + tested) * each / 4,
        "label": 1.0,
        "filter": 1.0,
        "train": _STARTING + (pairs + looked_at) * each,
        "evaluate": _STARTING + (tested + min(MOST_RESERVED, groups // RESERVED)) * 2 * RERANKED * each * _SCORED,
        "finish": 1.0,
    }
