"""Adaptive mode: a direct pass over all documents, then traces where they can change the top of the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from contract.adaptive.parameters import Parameters
from contract.adaptive.race import PROBE_TOKENS, Limits, Race
from contract.adaptive.recording import Recording
from service.engine import Completion
from service.errors import EngineFailed
from service.ranking import AdaptiveUse, Probe, Verdict
from service.scheduling.work import Answer, Work
from service.strategies.waves import Means, Run, direct_pass, run_waves

COUNT = 10
"""The top that counts where a call does not say `top_n`."""


class Strategy(Protocol):
    """Scores the documents of one admitted call in its own way, and says afterwards what its verdicts are."""

    async def score(self, work: Work, run: Run) -> Answer:
        """`work` is the direct pass over all documents. Raises what `run` raises, and the error of a call whose direct
        pass is not done at its deadline."""
        ...

    def verdicts(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Those of the answer, as this strategy reads them; one for each document."""
        ...

    @property
    def best(self) -> Sequence[int] | None:
        """Of documents that are read in windows, the place of the one that stands for each; None where none is."""
        ...

    @property
    def use(self) -> AdaptiveUse | None:
        """What adaptive mode took; None in other modes."""
        ...

    @property
    def spent(self) -> int:
        """All tokens that were generated."""
        ...


class Adaptive:
    """One call in adaptive mode."""

    def __init__(self, parameters: Parameters, limits: Limits, means: Means) -> None:
        self._parameters, self._limits, self._means = parameters, limits, means
        self._race: Race | None = None
        self.best: Sequence[int] | None = None

    async def score(self, work: Work, run: Run) -> Answer:
        """See `Strategy.score`. Of a document that is read in windows, the best one by its direct verdict is reasoned
        about and stands for it."""
        answer = await direct_pass(work, run, self._means)
        direct = list(map(self._means.log_odds, answer.completions))
        if work.read is None:
            self._race = Race(self._parameters, direct, self._limits)
            return _with(answer, await run_waves(self._race, work, run, self._means))
        best = self.best = [max(places, key=direct.__getitem__) for places in work.read]
        self._race = Race(self._parameters, [direct[place] for place in best], self._limits)
        part = replace(work, rests=[work.rests[place] for place in best], direct=frozenset(), read=None)
        try:
            last = await run_waves(self._race, part, run, self._means)
        except EngineFailed as error:
            raise error.at(best) from error
        return _with(answer, {best[document]: completion for document, completion in last.items()})

    def verdicts(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """All on the fused scale, with their places in the order that was found."""
        assert self._race is not None
        places = {index: place for place, index in enumerate(self._race.order)}
        return [
            replace(
                verdict,
                log_odds=final.log_odds,
                own_relevance=None,
                status=final.outcome,
                reasoning=verdict.reasoning if final.tokens else "",
                place=places[final.index],
                says_status=True,
            )
            for verdict, final in zip(verdicts, self._race.results, strict=True)
        ]

    @property
    def use(self) -> AdaptiveUse:
        """What was spent."""
        race = self._race
        if race is None:  # a cascade that did not come to it
            return AdaptiveUse()
        whole = self._parameters.cost * len(race.results)
        saved = max(0.0, whole - race.spent)
        return AdaptiveUse(race.probes, race.rounds, race.reasoned, race.undecided, race.spent, saved)

    @property
    def spent(self) -> int:
        return 0 if self._race is None else self._race.spent


class Probing:
    """One call in reasoning mode with the verdict read behind every few tokens: what adaptive mode is fitted on."""

    def __init__(self, distance: int, cap: int, means: Means) -> None:
        self._distance, self._cap, self._means = distance, cap, means
        self._probes: list[tuple[Probe, ...]] = []
        self.best = None
        self.spent = 0

    async def score(self, work: Work, run: Run) -> Answer:
        """See `Strategy.score`."""
        answer = await direct_pass(work, run, self._means)
        recording = Recording(len(work.rests), self._distance, self._cap)
        last = await run_waves(recording, work, run, self._means)
        for trace, completion in zip(recording.traces, answer.completions, strict=True):
            direct = Probe(0, self._means.log_odds(completion))
            self.spent += trace.tokens + PROBE_TOKENS * sum(read.ended is None for read in trace.reads)
            self._probes.append((direct, *(Probe(read.tokens, read.log_odds) for read in trace.reads)))
        return _with(answer, last)

    def verdicts(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Each with its probes."""
        return [replace(v, probes=probes) for v, probes in zip(verdicts, self._probes, strict=True)]

    @property
    def use(self) -> None:
        """Nothing that adaptive mode took."""


def _with(answer: Answer, last: dict[int, Completion]) -> Answer:
    """The last verdict of each document. What was cached of its prompt is what its first pass found there."""
    completions = [
        replace(last[index], index=index, cached_tokens=direct.cached_tokens) if index in last else direct
        for index, direct in enumerate(answer.completions)
    ]
    return Answer(completions, answer.begun)
