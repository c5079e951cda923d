"""Joins what two models say of a call's documents into one ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from contract.reasoning import Status
from service.ranking import StageName, Timings, Verdict
from service.stages.fusion import on_one_scale
from service.verdicts import ordered


def merged(first: Sequence[Verdict], second: Mapping[int, Verdict]) -> list[Verdict]:
    """The verdicts on all documents, in their order. `first`: of all; `second`: of those that were kept, by index.

    What was kept is above the rest, each in the order that its stage found; its tokens are those of both. A document of
    the rest has the score that the first stage gave it, but never a higher one than the worst that was kept: the map is
    monotone, and equal scores are told apart by their places.
    """
    kept = [on_one_scale(verdict) for verdict in ordered(list(second.values()))]
    rest = [on_one_scale(verdict) for verdict in ordered(first) if verdict.index not in second]
    most = min((verdict.log_odds for verdict in kept), default=float("inf"))
    found: dict[int, Verdict] = {}
    before = {verdict.index: verdict for verdict in first}
    for verdict in kept:
        own, other = of_second(verdict), before[verdict.index]
        found[verdict.index] = replace(
            own,
            place=len(found),
            prompt_tokens=own.prompt_tokens + other.prompt_tokens,
            cached_tokens=own.cached_tokens + other.cached_tokens,
            cached=own.cached and other.cached,
        )
    for verdict in rest:
        below = verdict if verdict.log_odds <= most else replace(verdict, log_odds=most, own_relevance=None)
        found[verdict.index] = of_first(below, len(found))
    return [found[verdict.index] for verdict in first]


def of_first(verdict: Verdict, place: int) -> Verdict:
    """A verdict that the first stage had the last word on."""
    status = Status.DEADLINE if verdict.status is Status.DEADLINE else Status.DIRECT
    return replace(verdict, stage=StageName.FIRST, status=status, says_status=True, place=place)


def of_second(verdict: Verdict) -> Verdict:
    """A verdict of the second stage."""
    direct = verdict.reasoning is None and not verdict.says_status
    status = Status.DIRECT if direct else verdict.status
    return replace(verdict, stage=StageName.SECOND, status=status, says_status=True)


def missed(first: Sequence[Verdict], kept: Sequence[int]) -> list[Verdict]:
    """The verdicts where the second stage did not score those that it was to, in time."""
    late = frozenset(kept)
    verdicts = [replace(v, status=Status.DEADLINE) if v.index in late else v for v in first]
    return merged(verdicts, {})


def together(first: Timings, second: Timings) -> Timings:
    """Of both stages, one after the other."""
    return Timings(
        total=first.total + second.total,
        queue=first.queue + second.queue,
        tokenize=first.tokenize + second.tokenize,
        inference=first.inference + second.inference,
    )
