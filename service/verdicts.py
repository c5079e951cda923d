"""What the engine's answers say of each document, how a document is shown, and what a call is warned of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from contract.reasoning import Status
from contract.verdict import OUTPUT, Reading, Temperatures
from service.engine import Completion, Prefix, Rest
from service.ranking import Listener, Mode, Ranked, Reasoning, RerankCall, StageName, Verdict
from service.scheduling.encoding import EncodedCall

_NO_FAULT = frozenset({Status.COMPLETE, Status.DIRECT, Status.STOPPED_EARLY})


def verdicts_of(
    completions: Sequence[Completion],
    encoded: EncodedCall,
    mode: Mode,
    temperatures: Temperatures,
    reading: Reading = OUTPUT,
) -> list[Verdict]:
    """What the engine's answers say of each document, in their order."""
    return [
        verdict_of(completion, encoded.prefix, rest, mode, temperatures, reading)
        for completion, rest in zip(completions, encoded.rests, strict=True)
    ]


def verdict_of(
    completion: Completion, prefix: Prefix, rest: Rest, mode: Mode, temperatures: Temperatures, reading: Reading
) -> Verdict:
    """What the engine's answers say of one document. They are read and calibrated here and nowhere else."""
    status, reasoning = completion.status, completion.reasoning
    if mode is Mode.REASONING and reasoning is None:  # no token of it was allowed
        status, reasoning = Status.BUDGET, ""
    if mode is Mode.ADAPTIVE and reasoning is None:
        status = Status.DIRECT
    scored = reading.score(completion.answers, temperatures.after(completion.reasoning_tokens))
    return Verdict(
        index=completion.index,
        log_odds=scored.raw,
        own_relevance=scored.relevance,
        label_mass=completion.mass,
        status=status,
        reasoning=reasoning,
        prompt_tokens=len(prefix.ids) + len(rest.ids),
        cached_tokens=completion.cached_tokens,
        reasoning_tokens=completion.reasoning_tokens,
        truncated=rest.truncated,
    )


def ranked_of(verdict: Verdict, call: RerankCall) -> Ranked:
    tokens = verdict.reasoning_tokens if verdict.told_tokens is None else verdict.told_tokens
    return Ranked(
        index=verdict.index,
        log_odds=verdict.log_odds,
        relevance=verdict.relevance,
        status=verdict.status,
        reasoning=Reasoning(verdict.reasoning or "", verdict.status, tokens) if call.return_reasoning else None,
        label_mass=verdict.label_mass,
        chunk=verdict.chunk,
        spans=verdict.spans,
        cached=verdict.cached,
        probes=verdict.probes,
        says_status=verdict.says_status or verdict.status is Status.DIRECT,
        stage=verdict.stage,
    )


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The best first; equal ones by their places or indices."""
    return sorted(verdicts, key=lambda v: (-v.log_odds, v.index if v.place is None else v.place))


def tell_all(verdicts: Sequence[Verdict], call: RerankCall, listener: Listener) -> None:
    """Tell a listener of verdicts that were not final before all of them were known."""
    for verdict in ordered(verdicts):
        if call.min_score is None or verdict.relevance >= call.min_score:
            listener.ranked(ranked_of(verdict, call))


def warnings_on(call: RerankCall, verdicts: Sequence[Verdict], least_passage: int) -> tuple[str, ...]:
    """Sentences for the caller: what was truncated, what is blank, and how traces ended."""
    warnings = []
    if cut := [verdict.index for verdict in verdicts if verdict.truncated]:
        warnings.append(f"{len(cut)} of {len(verdicts)} documents were truncated: {_listed(cut)}.")
        if call.max_tokens_per_doc is not None and call.max_tokens_per_doc < least_passage:
            warnings.append(
                f"max_tokens_per_doc {call.max_tokens_per_doc} lets little of a document be read; the model has room "
                f"for {least_passage} tokens of it and more."
            )
    if blank := [index for index, passage in enumerate(call.passages) if not passage.strip()]:
        warnings.append(f"{len(blank)} of {len(verdicts)} documents are blank: {_listed(blank)}.")
    if missed := sum(verdict.stage is StageName.FIRST and verdict.status is Status.DEADLINE for verdict in verdicts):
        warnings.append(f"{missed} documents that were to be scored by the second stage keep the first one's scores.")
    traced = [verdict for verdict in verdicts if verdict.stage is not StageName.FIRST]
    ends = Counter(verdict.status for verdict in traced if verdict.status not in _NO_FAULT)
    return (*warnings, *(f"{n} of {len(verdicts)} traces ended by {end.value}." for end, n in sorted(ends.items())))


def _listed(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:20]))
    return shown if len(indices) <= 20 else f"{shown} and {len(indices) - 20} more"
