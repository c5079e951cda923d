"""The rerank call as the service understands it, whatever body it came in: `RerankCall` in, `Ranking` out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from contract.reasoning import Status
from contract.verdict import relevance as logistic


class Mode(StrEnum):
    """How a call is ranked: `direct` scores every document at once, `reasoning` after reasoning about it, `adaptive`
    reasons only about documents that it can move."""

    DIRECT = "direct"
    REASONING = "reasoning"
    ADAPTIVE = "adaptive"


class ScoreKind(StrEnum):
    """What a model's score is: a probability that was `fitted` to labels; the model's `own` probability of one answer
    against the other; or only an `order`, whose numbers say nothing by themselves."""

    FITTED = "fitted"
    OWN = "own"
    ORDER = "order"


class LongDocuments(StrEnum):
    """What is done with documents: `truncate` reads each as one passage, cut to fit; `chunk` in windows of it."""

    TRUNCATE = "truncate"
    CHUNK = "chunk"


class StageName(StrEnum):
    """Which model of a cascade gave a document its score."""

    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class FirstStage:
    """What the caller's own search says of each document: `scores`, the higher the better, on any scale. `weight`: its
    share of the fused score, 0 to 1; None: the server's."""

    scores: tuple[float, ...]
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a passage: code points from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a passage as `Chunk`, with its relevance to the query."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class SpansWanted:
    """Which spans are returned: those of a score of `threshold` or more, and of each document the `most` best of them
    (None: all)."""

    threshold: float
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What a caller may do. `priority`: the best class it may ask for (0 first, 2 last).

    `documents_per_minute` None: no limit of its own. `shared`: it stands for all callers of a server without keys.
    """

    name: str
    priority: int = 0
    documents_per_minute: int | None = None
    shared: bool = False


ANONYMOUS = Key("anonymous", shared=True)


@dataclass(frozen=True, slots=True)
class RerankCall:
    """One valid request. `passages` are the text scored, `documents` what the answer repeats of them: strings, and
    objects as JSON; () where it repeats nothing, since what is not ranked may be large."""

    query: str
    passages: tuple[str, ...]
    documents: tuple[str | bytes, ...]
    model: str | None = None
    top_n: int | None = None  # None: all
    mode: Mode | None = None  # None: the server's default
    instruction: str | None = None
    max_reasoning_tokens: int | None = None  # None: the server's default
    return_reasoning: bool = False
    return_label_mass: bool = False
    reasoning_budget: int | None = None  # tokens for the whole call in adaptive mode; None: the server's default
    return_probes: int | None = None  # read the verdict after every so many tokens of a trace; None: at its end
    max_tokens_per_doc: int | None = None
    truncate: bool = True
    cut_left: bool = False
    priority: int | None = None  # None: the middle class, or the key's own where that is later; 0 first, 2 last
    long_documents: LongDocuments | None = None  # None: the server's default
    max_chunks_per_doc: int | None = None  # None: as many as there are
    spans: SpansWanted | None = None
    min_score: float | None = None  # the least relevance of a result; None: results are left out by `top_n` alone
    first_stage: FirstStage | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str
    status: Status
    tokens: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A verdict after so many tokens of a trace, as calibrated log-odds."""

    tokens: int
    log_odds: float


@dataclass(frozen=True, slots=True)
class AdaptiveUse:
    """What a call in adaptive mode took: verdicts read in the middle of a trace, waves of traces, documents with a
    trace, and those of which it stayed unclear whether they are in the top. `spent`: tokens of traces and probes;
    `saved`: how many fewer than traces of all documents take on average."""

    probes: int = 0
    rounds: int = 0
    reasoned: int = 0
    undecided: int = 0
    spent: int = 0
    saved: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one document. `log_odds` = log p(true) - log p(false), calibrated; of a model that is read another
    way, what stands in its place (`contract.verdict.Reading`), and then `own_relevance` need not be its logistic.
    `label_mass`: the probability of all words that are read, together; None where it is not known.

    `prompt_tokens` counts the whole prompt, `cached_tokens` those of it that were not computed again;
    `reasoning` is None in direct mode. Of a document that was read in windows, `chunk` is the best one and the verdict
    is its own, while tokens are those of all; `told_tokens`: of its reasoning alone. `spans`: best first.
    `cached`: known from an earlier call. `place`: its rank where one was found, which decides between equal log-odds.
    `stage`: of a cascade. `says_status`: the answer says how the score was reached.
    """

    index: int
    log_odds: float
    status: Status
    reasoning: str | None
    prompt_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    truncated: bool
    own_relevance: float | None = None
    label_mass: float | None = None
    chunk: Chunk | None = None
    spans: tuple[Span, ...] = ()
    told_tokens: int | None = None
    cached: bool = False
    probes: tuple[Probe, ...] | None = None
    place: int | None = None
    stage: StageName | None = None
    says_status: bool = False

    @property
    def relevance(self) -> float:
        """In [0, 1]."""
        return logistic(self.log_odds) if self.own_relevance is None else self.own_relevance


@dataclass(frozen=True, slots=True)
class Ranked:
    """`index` into the call's documents; `relevance` in [0, 1], the logistic of the log-odds where these are some."""

    index: int
    log_odds: float
    relevance: float
    status: Status
    reasoning: Reasoning | None
    label_mass: float | None = None
    chunk: Chunk | None = None
    spans: tuple[Span, ...] = ()
    cached: bool = False
    probes: tuple[Probe, ...] | None = None
    says_status: bool = False
    stage: StageName | None = None


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """Text that was written on the document `index`, behind `offset` code points of its reasoning.

    `tokens`: of all that has been written; `chunk`: what of the document it is about, where that is read in windows.
    """

    index: int
    offset: int
    text: str
    tokens: int
    chunk: Chunk | None = None


class Listener(Protocol):
    """Is told of a call while it is ranked. What it does must be quick, and must not raise."""

    def reasoned(self, piece: ReasoningPiece) -> None:
        """A piece of reasoning was written, where the call has it returned."""

    def ranked(self, ranked: Ranked) -> None:
        """The verdict on a document is known."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of one call: whole; waiting, to be encoded and for the engine; turning its text into ids; and from
    the first document in the engine to the last verdict. The whole is the sum of the others.
    """

    total: float
    queue: float
    tokenize: float
    inference: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Results by descending relevance, ties by index, already cut to `min_score` and `top_n`; token counts are of all
    documents. `below_min_score`: how many documents are below `min_score`; None where the call sets none."""

    id: str
    model: str
    results: tuple[Ranked, ...]
    prompt_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    timings: Timings
    warnings: tuple[str, ...] = field(default=())
    score_kind: ScoreKind = ScoreKind.OWN
    below_min_score: int | None = None
    adaptive: AdaptiveUse | None = None  # in adaptive mode
