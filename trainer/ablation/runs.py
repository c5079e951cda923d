"""`limrank-train ablate` and `ablate-sft`: one training run per variant, each in its own folder, and one table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.records import RecordError, read_groups
from trainer.ablation.scorers import base_scorer, pair_scorer
from trainer.ablation.settings import Ablation, SftAblation
from trainer.ablation.table import Outcome, write_table
from trainer.cross_encoder.model import PairRoom, load_pair_encoder
from trainer.cross_encoder.train import train_cross_encoder
from trainer.errors import BadData, BadSettings
from trainer.run.batching import world
from trainer.run.data import data_cost
from trainer.run.dev_score import DevSet, PassageScorer, check_dev, dev_score
from trainer.run.folder import RunFolder, content_sha256
from trainer.settings import CrossEncoding, Sft, Training
from trainer.sft.examples import load_segments
from trainer.sft.lora import load_base, load_lora, where_it_is_fast
from trainer.sft.scorer import CausalScorer, QueryRoom
from trainer.sft.train import train_sft

_MOST_VARIANTS = 12


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a kind of model is trained, and scored before and after training. `unit` names its examples; `room` builds
    the check that refuses a query too long to be scored."""

    settings: type[Training]
    unit: str
    train: Callable[[Any], None]
    untrained: Callable[[Any], PassageScorer]
    scorer: Callable[[Any], PassageScorer]
    room: Callable[[Any], Callable[[str, str | None], object]]


def ablate(settings: Ablation | SftAblation) -> None:
    """Trains the variants that are not trained yet, measures all, and writes a table and a plot into the folder. Raises
    TrainError."""
    if settings.dev is None:
        raise BadSettings("An ablation compares dev scores: name a BEIR folder with --dev.")
    if world() > 1:
        raise BadSettings("An ablation is one process; train its variants with torchrun first, then it reads them.")
    if isinstance(settings, SftAblation):  # the base and the other domain are scored in direct mode only
        settings = settings.model_copy(update={"dev_modes": ["direct"]})
    kind = _CAUSAL if isinstance(settings, Sft) else _PAIRS
    check_dev(_other_domain(settings), kind.room(settings))
    changes = variants(settings)
    if settings.data_cost is None:
        settings = settings.model_copy(update={"data_cost": data_cost(settings.data)})
    outcomes = [] if settings.dry_run else [_untrained(kind, settings)]
    for name, change in changes.items():
        print(f"--- {settings.kind}: {name}", flush=True)  # noqa: T201
        outcomes.append(_outcome(kind, name, settings, change))
        if not settings.dry_run:
            write_table(settings.folder, settings.kind, outcomes, unit=kind.unit, hour_cost=settings.hour_cost)


def variants(settings: Ablation | SftAblation) -> dict[str, dict[str, Any]]:
    """Maps each variant to the settings it changes. Raises BadData when the file has too few or too many names to leave
    out."""
    if isinstance(settings, SftAblation):
        if settings.kind == "volume":
            return {f"{count} records": {"sample": count} for count in settings.volumes}
        return {"with traces": {}, "without traces": {"direct_share": 1.0}}
    if settings.kind == "volume":
        return {f"{count} groups": {"sample": count + settings.calibration} for count in settings.volumes}
    if settings.kind == "negatives":
        return {name: {"negatives_from": name} for name in ("hard", "random")}
    if settings.kind == "loss":
        changes: dict[str, dict[str, Any]] = {
            "lce": {"loss": "lce"},
            "lce without anchor": {"loss": "lce", "anchor": 0.0},
            "bce": {"loss": "bce"},
        }
        return changes
    found = settings.names or _names(settings.data, settings.kind)
    return {"all": {}} | {f"without {name}": {"leave_out": name} for name in found}


def _names(path: Path, field: str) -> list[str]:
    try:
        found = sorted({str(getattr(group, field)) for group in read_groups(path)})
    except (OSError, RecordError) as error:
        raise BadData(f"{path} cannot be read: {error}") from error
    if not 2 <= len(found) <= _MOST_VARIANTS:
        raise BadData(
            f"{path} has {len(found)} values of {field!r}; leaving one out at a time needs 2 to {_MOST_VARIANTS}."
        )
    return found


def _untrained(kind: _Kind, settings: Ablation | SftAblation) -> Outcome:
    """The untrained base, which shows what training taught and what it made the model forget."""
    print("--- before training", flush=True)  # noqa: T201
    scorer = kind.untrained(settings)
    dev, other = (dev_score(scorer, measured_on) for measured_on in (DevSet.of(settings), _other_domain(settings)))
    return Outcome("before training", 0, 0.0, dev, other, 0.0)


def _outcome(kind: _Kind, name: str, settings: Ablation | SftAblation, change: Mapping[str, Any]) -> Outcome:
    known = {field: getattr(settings, field) for field in kind.settings.model_fields}
    folder = settings.folder / _folder_name(name, known, change)
    wanted = kind.settings.model_validate(known | {"folder": folder} | dict(change))
    stated = wanted.model_dump(mode="json")
    RunFolder(folder).check_settings(stated, content_sha256(stated))
    sessions = RunFolder(folder).ended_sessions()
    while not sessions or sessions[-1]["ended"] != "finished":
        kind.train(wanted)
        sessions = RunFolder(folder).ended_sessions()
        if wanted.dry_run:
            return Outcome(name, 0, 0.0, None, None, 0.0)
        if sessions[-1]["ended"] == "signal":
            raise BadSettings(f"{folder} was stopped by a signal; the same command goes on.")
    other_domain = _other_domain(settings)
    other = None if other_domain is None else dev_score(kind.scorer(wanted), other_domain)
    examples = _different(sessions[-1]["steps"] * wanted.batch, wanted)
    share = min(1.0, (wanted.sample or examples) / max(1, _count(settings.data)))
    seconds = sum(session["seconds"] * session.get("devices", 1) for session in sessions)
    return Outcome(name, examples, seconds, sessions[-1]["dev"], other, (settings.data_cost or 0.0) * share)


def _different(trained: int, settings: Training) -> int:
    """How many different examples were `trained`; each occurs once per pass."""
    return trained if settings.max_steps is not None else round(trained / max(1.0, settings.epochs))


def _folder_name(name: str, known: Mapping[str, Any], change: Mapping[str, Any]) -> str:
    """The variant's folder. Several kinds compare with the unchanged settings, which share one name, so that they are
    trained once."""
    changed = any(known[field] != value for field, value in change.items())
    return name.replace(" ", "-").replace("/", "-") if changed else "as-the-settings-say"


def _causal_scorer(settings: Sft, adapter: Path | None) -> CausalScorer:
    base = load_base(settings.base)
    model = base if adapter is None else load_lora(base, adapter)
    return CausalScorer(where_it_is_fast(model), load_segments(settings.base), passage_tokens=settings.passage_tokens)


def _other_domain(settings: Ablation | SftAblation) -> DevSet | None:
    """The test split of the out-of-domain folder, or its only split, with the candidates in that folder; None when the
    settings name no such folder. Raises BadData when it has no split."""
    folder = settings.out_of_domain
    if folder is None:
        return None
    splits = sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))
    if not splits:
        raise BadData(f"{folder} has no qrels/*.tsv; --out-of-domain takes a BEIR folder.")
    split = "test" if "test" in splits else splits[0]
    return DevSet(folder, split, None, settings.dev_queries, settings.dev_depth)


@functools.cache
def _count(path: Path) -> int:
    """The number of groups or records in a file that every variant draws from; read once."""
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1


_PAIRS = _Kind(
    CrossEncoding,
    "groups",
    train_cross_encoder,
    untrained=lambda settings: base_scorer(settings.base, max_tokens=settings.max_tokens),
    scorer=lambda settings: pair_scorer(settings.folder / "model", max_tokens=settings.max_tokens),
    room=lambda settings: PairRoom(load_pair_encoder(settings.base, settings.max_tokens)),
)
_CAUSAL = _Kind(
    Sft,
    "records",
    train_sft,
    untrained=lambda settings: _causal_scorer(settings, None),
    scorer=lambda settings: _causal_scorer(settings, settings.folder / "adapter"),
    room=lambda settings: QueryRoom(load_segments(settings.base)),
)
