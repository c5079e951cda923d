"""One call in adaptive mode, as a state machine: what to write next, until nothing is uncertain or the budget is spent.

Whoever runs it asks for a wave, has every trace of it continued by so many tokens, says what was read behind each, and
asks again. The service does so with an engine, evaluation with recorded traces. All decisions are here, and they depend
on nothing but what was read.

A token of a trace and the one token of a probe count alike; a verdict that is read because its trace is cut off is a
probe, one that the model came to by itself is not. So what is spent is known before a wave begins, and stays within the
budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.adaptive.beliefs import Belief, border
from contract.adaptive.choice import order, undecided
from contract.adaptive.parameters import Parameters
from contract.reasoning import Status

PROBE_TOKENS = 1
_CUT_OFF = (Status.BUDGET, Status.DEADLINE)


@dataclass(frozen=True, slots=True)
class Ask:
    """Let the trace of a document go on for at most so many tokens, then read the verdict."""

    index: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Read:
    """What came of an `Ask`. `tokens`: of the trace so far; `log_odds`: of the verdict behind it, as the model gives
    it; `ended`: how the trace ended, or None where the tokens asked for were written and it could go on."""

    tokens: int
    log_odds: float
    ended: Status | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """`count`: how many of the best are wanted; `budget`: tokens for the whole call, None without a limit; `cap`:
    tokens of one trace; `seats`: traces at a time."""

    count: int
    budget: int | None = None
    cap: int = 256
    seats: int = 64


@dataclass(slots=True)
class _Standing:
    """Where a document stands. `open`: its trace goes on; `done`: none is written for it any more. `probes`: (tokens,
    fused log-odds) of every verdict read behind its trace."""

    direct: float
    log_odds: float
    outcome: Status = Status.DIRECT
    open: bool = False
    done: bool = False
    tokens: int = 0
    probes: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Final:
    """The score of a document on the fused scale, and how it was reached."""

    index: int
    log_odds: float
    outcome: Status
    tokens: int


class Race:
    """The documents of one call, by their direct log-odds as the model gives them."""

    def __init__(self, parameters: Parameters, direct: Sequence[float], limits: Limits) -> None:
        self._parameters = parameters
        self._limits = limits
        self._documents = [_Standing(odds, parameters.unreasoned(odds)) for odds in direct]
        self._over: Status | None = None
        self.spent = 0
        self.probes = 0
        self.rounds = 0

    @property
    def in_pieces(self) -> bool:
        """True where traces are probed on their way, so that each takes several waves."""
        return self._parameters.early_stop

    def wave(self) -> list[Ask]:
        """What to write next; [] once there is nothing, and all traces are settled then."""
        asks = [] if self._over is not None else self._wave()
        if not asks:
            self.end(self._over or Status.BUDGET)
        self.rounds += bool(asks)
        return asks

    def took(self, index: int, read: Read) -> None:
        """Record what came of an ask."""
        document = self._documents[index]
        self.spent += max(0, read.tokens - document.tokens)  # less, where it was cut off within its end-of-think tag
        if read.ended is Status.DEADLINE:
            self._over = Status.DEADLINE
        if not read.tokens:  # nothing was written: its direct verdict stands
            self._settle(document, Status.DIRECT)
            return
        document.tokens = read.tokens
        document.log_odds = self._parameters.fused(document.direct, read.log_odds)
        document.probes.append((read.tokens, document.log_odds))
        if read.ended is None:
            self.spent += PROBE_TOKENS
            self.probes += 1
        if read.ended is not None or read.tokens >= self._limits.cap:
            self._settle(document, read.ended or Status.BUDGET)

    def end(self, outcome: Status) -> None:
        """Stop here: traces that are half written count as they were last read."""
        self._over = self._over or outcome
        for document in self._documents:
            if document.open:
                self._settle(document, outcome)

    @property
    def results(self) -> list[Final]:
        """Every document in its place, whatever has been read until now."""
        return [Final(i, d.log_odds, d.outcome, d.tokens) for i, d in enumerate(self._documents)]

    @property
    def order(self) -> list[int]:
        """All documents, best first. Those with equal scores stand as their direct verdicts do, then by index."""
        documents = self._documents
        return sorted(range(len(documents)), key=lambda i: (-documents[i].log_odds, -documents[i].direct, i))

    @property
    def reasoned(self) -> int:
        """Documents with a trace."""
        return sum(document.tokens > 0 for document in self._documents)

    @property
    def undecided(self) -> int:
        """Documents that may be in the top or not, as far as is known."""
        return len(undecided(self._beliefs(), self._limits.count, self._parameters.tolerance))

    def _settle(self, document: _Standing, outcome: Status) -> None:
        document.open, document.done = False, True
        if document.tokens:
            document.outcome = outcome

    def _wave(self) -> list[Ask]:
        beliefs = self._beliefs()
        if self._parameters.early_stop:
            self._stop_early(border(beliefs, self._limits.count))
            beliefs = self._beliefs()
        going = [index for index, document in enumerate(self._documents) if document.open]
        begun = self._begin(beliefs, going)
        return self._asks([*going, *begun])

    def _beliefs(self) -> list[Belief]:
        return [self._belief(document) for document in self._documents]

    def _belief(self, document: _Standing) -> Belief:
        parameters = self._parameters
        if document.tokens and (document.open or document.outcome in _CUT_OFF):
            return Belief(document.log_odds, parameters.probe_spread(document.tokens))
        if document.tokens:
            return Belief(document.log_odds, 0.0)
        return Belief(document.log_odds, parameters.spread(parameters.direct(document.direct)))

    def _stop_early(self, line: float | None) -> None:
        """Settle traces whose last two probes agree, and agree on which side of the border they are."""
        for document in self._documents:
            if document.open and len(document.probes) > 1:
                (_, before), (tokens, now) = document.probes[-2:]
                reach = 2 * self._parameters.probe_spread(tokens)
                clear = line is None or (abs(now - line) > reach and (now > line) is (before > line))
                if clear and abs(now - before) < self._parameters.agreement:
                    self._settle(document, Status.STOPPED_EARLY)

    def _begin(self, beliefs: Sequence[Belief], going: Sequence[int]) -> list[int]:
        """Documents whose trace begins now: as many as there are seats and, at what a trace takes, tokens."""
        parameters, limits = self._parameters, self._limits
        free = [i for i, document in enumerate(self._documents) if not (document.open or document.done)]
        best = order(parameters.policy, beliefs, free, limits.count, parameters.tolerance)
        most = max(0, limits.seats - len(going))
        if limits.budget is not None:
            needed = sum(max(self._least, parameters.cost - self._documents[index].tokens) for index in going)
            most = min(most, int((limits.budget - self.spent - needed) // max(self._least, parameters.cost)))
        begun = best[: max(0, most)]
        for index in begun:
            self._documents[index].open = True
        return begun

    @property
    def _least(self) -> int:
        """Tokens of the shortest ask."""
        return min(self._parameters.probe_tokens, self._limits.cap) + PROBE_TOKENS

    def _asks(self, indices: Sequence[int]) -> list[Ask]:
        """The next piece of each trace, as far as the budget reaches. With early stops a piece is as long as the
        probes are apart, else as long as an equal share of the budget."""
        left = None if self._limits.budget is None else self._limits.budget - self.spent
        asks = []
        for place, index in enumerate(indices):
            rest = self._limits.cap - self._documents[index].tokens
            tokens = min(rest, self._parameters.probe_tokens) if self._parameters.early_stop else rest
            if left is not None:
                share = left // (len(indices) - place) - PROBE_TOKENS
                needed = min(rest, self._parameters.probe_tokens)
                if not self._parameters.early_stop:
                    tokens = max(needed, min(rest, share))
                if tokens + PROBE_TOKENS > left:
                    continue
                left -= tokens + PROBE_TOKENS
            asks.append(Ask(index, tokens))
        return asks
