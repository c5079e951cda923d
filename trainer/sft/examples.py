"""Training sequences from records: ids joined by `contract`, and the loss weight of each completion token."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

from contract.checkpoint.manifest import ManifestError, read_manifest
from contract.prompt import LIMRANK, ContractError
from contract.reading import reading_key
from contract.records import Record, read_records
from contract.segments import Segments
from contract.truncation import FittedRest, PassageFitter
from trainer.errors import BadBase, BadData
from trainer.run.data import choose, draw, read_ids
from trainer.settings import Choosing

_PASSAGE_SHARE = 0.25  # of a sequence, as of a pair in a cross-encoder's training
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class RecordChoice:
    """Which records of a file are used. `direct_share` is the share of those with a trace that is trained without it.

    `sample` None: all. `leave_out` is a domain, a source, or an id prefix.
    """

    sample: int | None = None
    direct_share: float = 0.0
    leave_out: str | None = None
    excluded: frozenset[str] = frozenset()
    seed: int = 0

    @classmethod
    def of(cls, settings: Choosing, direct_share: float) -> Self:
        """Raises BadData when the file of excluded ids cannot be read."""
        return cls(settings.sample, direct_share, settings.leave_out, read_ids(settings.exclude), settings.seed)


@dataclass(frozen=True, slots=True)
class Lengths:
    """`tokens` is the longest sequence, including the verdict; `passage` the longest passage, None: as much as fits."""

    tokens: int
    passage: int | None = None


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights relative to 1: `verdict` and `conclusion` (each token of the trace's last sentence) to any other token of
    the trace, `traced` (a whole example with a trace) to an example without one."""

    verdict: float = 1.0
    conclusion: float = 1.0
    traced: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """A training sequence. `weights` belong to its last ids, one each; the ids before have no loss. They sum to the
    example's weight."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    truncated: bool

    @property
    def prompt_tokens(self) -> int:
        return len(self.ids) - len(self.weights)


def load_segments(base: Path) -> Segments:
    """The segments for the tokenizer in `base`, in its manifest's format or LimRank's. Raises BadBase."""
    try:
        manifest = read_manifest(base)
        form = LIMRANK if manifest is None or manifest.format is None else manifest.format
        return Segments(form, Tokenizer.from_file(str(base / "tokenizer.json")))
    except (ManifestError, ContractError) as error:
        raise BadBase(str(error)) from error
    except Exception as error:  # the tokenizers library raises nothing more specific
        raise BadBase(f"{base / 'tokenizer.json'} cannot be read: {error}.") from error


def load_records(path: Path, choice: RecordChoice) -> list[Record]:
    """The chosen records of a file, in an order determined by the seed; a larger sample contains every smaller one.

    Raises BadData for a file that cannot be read or of which nothing is left.
    """
    chosen = choose(
        path,
        read_records,
        unit="record",
        sample=choice.sample,
        leave_out=choice.leave_out,
        excluded=choice.excluded,
        seed=choice.seed,
    )
    return [_direct(record) if _drawn_direct(record, choice) else record for record in chosen]


def without_contradictions(records: Sequence[Record]) -> list[Record]:
    """Drops records that call a passage irrelevant that another record calls relevant to the same query under the same
    instruction, compared by text as read (`contract.reading`)."""
    answers = {_pair(record) for record in records if record.relevant}
    return [record for record in records if record.relevant or _pair(record) not in answers]


def _pair(record: Record) -> tuple[str, str, str]:
    return reading_key(record.query), reading_key(record.instruction or ""), reading_key(record.passage)


def sequences(
    records: Sequence[Record], segments: Segments, lengths: Lengths, weights: LossWeights
) -> Iterator[TrainingSequence]:
    """The training sequence of each record. Only the passage is truncated to fit `lengths`.

    With a trace, the loss is on trace, close and verdict. Without one it is on the verdict alone: direct mode puts the
    close, so the model never writes it. Raise BadData for a record whose other parts do not fit or leave less than a
    quarter of the sequence to a passage that does not fit, or whose trace holds a delimiter.
    """
    fitter = PassageFitter(segments.prompt)
    for record in records:
        yield _sequence(record, segments, fitter, lengths, weights)


def _sequence(
    record: Record, segments: Segments, fitter: PassageFitter, lengths: Lengths, weights: LossWeights
) -> TrainingSequence:
    prefix = segments.prompt.prefix(record.query, record.instruction)
    try:
        trace = segments.trace_ids(record.trace or "")
        room = lengths.tokens - len(prefix) - len(trace) - len(segments.close) - 1
        rest = fitter.fit([record.passage], room, lengths.passage)[0]
    except ContractError as error:
        raise BadData(f"Record {record.id!r}: {error}") from None
    except ValueError:
        raise BadData(
            f"Record {record.id!r}: query, instruction and trace alone do not fit into {lengths.tokens} tokens; "
            "raise --max-tokens or leave the record out."
        ) from None
    _check_room(record, rest, room - fitter.tail_tokens, lengths)
    ids = segments.example([*prefix, *rest.ids], trace, record.relevant).ids
    if not trace:
        return TrainingSequence(ids, (1.0,), rest.truncated)
    before = len(segments.trace_ids(_before_conclusion(record.trace or "")))
    token_weights = [1.0] * before + [weights.conclusion] * (len(trace) - before)
    token_weights += [1.0] * len(segments.close) + [weights.verdict]
    share = weights.traced / sum(token_weights)
    return TrainingSequence(ids, tuple(share * weight for weight in token_weights), rest.truncated)


def _check_room(record: Record, rest: FittedRest, left: int, lengths: Lengths) -> None:
    """Raise BadData where the passage is cut to less than a quarter of the sequence, and not since the caller wants it
    that short: a verdict on next to nothing teaches what no passage says."""
    wanted = min(_PASSAGE_SHARE * lengths.tokens, math.inf if lengths.passage is None else lengths.passage)
    if rest.truncated and left < wanted:
        raise BadData(
            f"Record {record.id!r}: query, instruction and trace leave {left} of {lengths.tokens} tokens to its "
            f"passage, which has more, and at least {_PASSAGE_SHARE:.0%} are needed; raise --max-tokens or leave the "
            "record out."
        )


def _before_conclusion(trace: str) -> str:
    """The trace without its last sentence."""
    ends = [found.start() for found in _SENTENCE_END.finditer(trace)]
    return trace[: ends[-1]] if ends else ""


def _drawn_direct(record: Record, choice: RecordChoice) -> bool:
    return int(draw(record.id, choice.seed + 1)[:8], 16) < choice.direct_share * 2**32


def _direct(record: Record) -> Record:
    return replace(record, trace=None)
