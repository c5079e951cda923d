"""Builds the filters of a verification, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from synth.errors import BadSettings
from synth.filters.agreement import Agreement
from synth.filters.coherence import Coherence
from synth.filters.decontamination import COMMON, WORDS, Decontamination, EvaluationSet, decontamination
from synth.filters.filter import Filter
from synth.filters.language import Language
from synth.filters.leaks import LabelLeaks
from synth.filters.lengths import BOUNDS, Bounds, Lengths
from synth.filters.names import FILTERS
from synth.filters.near_duplicates import NearDuplicates
from synth.scratch import scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSettings:
    """The filters to use, and how strict they are. `evaluation` is data that must not be used for training."""

    only: Sequence[str] = FILTERS
    votes: int = 1
    agreement: float = 2 / 3
    votes_required: bool = False
    conclusion_required: bool = False
    bounds: dict[str, Bounds] = field(default_factory=lambda: dict(BOUNDS))
    languages: Sequence[str] = ("en",)
    language_confidence: float = 0.9
    evaluation: Sequence[EvaluationSet] = ()
    overlap_words: int = WORDS
    overlap_common: int = COMMON
    overlap_least: float = 0.0
    similarity: float = 0.8
    permutations: int = 128


@contextmanager
def build_filters(settings: FilterSettings, folder: Path | None = None) -> Iterator[list[Filter]]:
    """The filters that `settings` names. Their files are kept under `folder` until the block ends.

    Raises `BadSettings` for an unknown name, `BadInput` for an evaluation folder that cannot be read.
    """
    unknown = [name for name in settings.only if name not in FILTERS]
    if unknown:
        raise BadSettings(f"'{unknown[0]}' is no filter; the filters are {', '.join(FILTERS)}.")
    with ExitStack() as stack:
        yield [_made(name, settings, folder, stack) for name in FILTERS if name in settings.only]


def _made(name: str, settings: FilterSettings, folder: Path | None, stack: ExitStack) -> Filter:
    """Builds one filter only, because some read large files."""
    makers: dict[str, Callable[[], Filter]] = {
        "length": lambda: Lengths(settings.bounds),
        "language": lambda: Language(settings.languages, confidence=settings.language_confidence),
        "agreement": lambda: Agreement(
            votes=settings.votes, threshold=settings.agreement, required=settings.votes_required
        ),
        "coherence": lambda: Coherence(strict=settings.conclusion_required),
        "label-leak": LabelLeaks,
        "decontamination": lambda: stack.enter_context(_decontamination(settings, folder)),
        "near-duplicate": lambda: NearDuplicates(
            stack.enter_context(scratch(folder)), threshold=settings.similarity, permutations=settings.permutations
        ),
    }
    return makers[name]()


def _decontamination(settings: FilterSettings, folder: Path | None) -> AbstractContextManager[Decontamination]:
    return decontamination(
        settings.evaluation,
        size=settings.overlap_words,
        common=settings.overlap_common,
        least=settings.overlap_least,
        folder=folder,
    )
