"""Chooses how a call is scored in several passes, and says why one is not although it asks for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from contract.adaptive.parameters import Gate
from contract.adaptive.race import Limits, Race
from service.engine import Capabilities
from service.errors import BadRequest
from service.ranking import AdaptiveUse, Mode, RerankCall
from service.scheduling.admission import too_late
from service.strategies.adaptive import COUNT, Adaptive, Probing, Strategy
from service.strategies.waves import LogOdds, Means

_TRACES = 10  # median ones, in the budget of a call that names none where the server names none either
NOT_FITTED = Gate(None, "nothing was fitted for this model")
_ALONE = "in a batch no document is reasoned about"


@dataclass(frozen=True, slots=True)
class Budgets:
    """Tokens of a whole call in adaptive mode: of one that names none (None: as the model's parameters say), and the
    most that one may ask for."""

    usual: int | None = None
    most: int = 100_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """`strategy` None: one pass scores the call. `why`: the reason where it asked for another."""

    strategy: Strategy | None = None
    why: str | None = None


class Strategies:
    """Those that a model has. `gate`: what adaptive mode does with it."""

    def __init__(
        self,
        gate: Gate,
        budgets: Budgets,
        capabilities: Capabilities,
        log_odds: LogOdds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._budgets = budgets
        self._capabilities = capabilities
        self._log_odds = log_odds
        self._clock = clock

    def choose(self, call: RerankCall, mode: Mode, cap: int, *, alone: bool, whole: bool) -> Chosen:
        """`cap`: tokens of one trace; `alone`: the call is no part of a batch; `whole`: each document is one passage.

        Raises BadRequest for probes where none can be read.
        """
        if call.return_probes is not None:
            return Chosen(self._probing(call, mode, cap, alone=alone, whole=whole))
        if mode is not Mode.ADAPTIVE:
            return Chosen()
        parameters = self._gate.parameters
        if parameters is None:
            return Chosen(why=self._gate.reason)
        if not alone:
            return Chosen(why=_ALONE)
        total = self._total(call, parameters.median_tokens)
        if not (total and cap):
            return Chosen()
        limits = Limits(call.top_n or COUNT, total, cap, self._capabilities.window)
        return Chosen(Adaptive(parameters, limits, self._means(call)))

    def unspent(self, direct: Sequence[float], call: RerankCall) -> AdaptiveUse:
        """What a call in adaptive mode took that was scored directly: nothing; and what stays undecided."""
        parameters = self._gate.parameters
        if parameters is None:
            return AdaptiveUse()
        race = Race(parameters, direct, Limits(call.top_n or COUNT, budget=0))
        return AdaptiveUse(undecided=race.undecided, saved=parameters.cost * len(direct))

    def _probing(self, call: RerankCall, mode: Mode, cap: int, *, alone: bool, whole: bool) -> Probing | None:
        if mode is not Mode.REASONING:
            raise BadRequest(f"return_probes needs mode 'reasoning', not {mode.value!r}.", field="return_probes")
        if not (alone and whole):
            where = "documents that are read in windows or for spans" if alone else "calls of a batch"
            raise BadRequest(f"return_probes is not for {where}; leave it out.", field="return_probes")
        assert call.return_probes is not None
        return Probing(call.return_probes, cap, self._means(call)) if cap else None

    def _total(self, call: RerankCall, median: float) -> int:
        """Reasoning tokens of a whole call in adaptive mode."""
        usual = math.ceil(_TRACES * median) if self._budgets.usual is None else self._budgets.usual
        return min(usual if call.reasoning_budget is None else call.reasoning_budget, self._budgets.most)

    def _means(self, call: RerankCall) -> Means:
        late = partial(too_late, len(call.passages))
        return Means(self._log_odds, late, self._clock, self._capabilities.kept_tokens)
