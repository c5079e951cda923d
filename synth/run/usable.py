"""Stops a run early when a stage gets no usable replies, with an error that names the setting to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llm.endpoint import Endpoint
from synth.errors import NothingUsable
from synth.llm.stage import Role
from synth.run.journal import Status, read_journal
from synth.run.journal_index import StageTotal

UNUSABLE_IN_ALL = 20
"""Unusable replies of a stage after which the run stops, if there was no usable one."""


@dataclass(slots=True)
class _Unusable:
    """Why the replies of one stage were unusable: counts by the first word of the reason, and the last reason."""

    words: Counter[str] = field(default_factory=Counter)
    last: str = ""

    def add(self, reason: str) -> None:
        self.words[reason.partition(":")[0]] += 1
        self.last = reason

    def error(self, stage: str, role: Role, endpoint: Endpoint) -> NothingUsable:
        """The error that names the counts and the setting to change."""
        listed = ", ".join(f"{count} {word}" for word, count in self.words.most_common())
        return NothingUsable(
            f"None of {self.words.total()} replies to '{stage}' could be used ({listed}; the last: {self.last}). "
            f"{self._remedy(role, endpoint)}"
        )

    def _remedy(self, role: Role, endpoint: Endpoint) -> str:
        limit = f"Raise --{role}.max-tokens, which is {endpoint.max_tokens} and includes reasoning"
        commonest = self.words.most_common(1)[0][0]
        if commonest == "truncated":
            return f"{limit}, and run again."
        if commonest == "empty":
            return f"{limit}, or name another --{role}.model."
        if commonest == "refusal":
            return f"'{endpoint.model}' refuses the task: name another --{role}.model or change the templates."
        return f"'{endpoint.model}' does not answer as asked: name another --{role}.model or change the templates."


class UsableReplies:
    """Counts the replies of each stage until the first usable one. `totals` are those of the run's journal."""

    def __init__(self, totals: Iterable[StageTotal]) -> None:
        self._proven = {line.stage for line in totals if line.status is Status.ACCEPTED}
        self._unusable: dict[str, _Unusable] = {}

    def count(self, stage: str, role: Role, endpoint: Endpoint, status: Status, reason: str) -> NothingUsable | None:
        """Counts one reply. Returns the error to stop with when none of many was usable."""
        if status is Status.ACCEPTED:
            self._proven.add(stage)
        if stage in self._proven or status is Status.FAILED:
            return None
        unusable = self._unusable.setdefault(stage, _Unusable())
        unusable.add(reason)
        return unusable.error(stage, role, endpoint) if unusable.words.total() >= UNUSABLE_IN_ALL else None


def check_usable(journal: Path, roles: Mapping[str, Role], endpoints: Mapping[Role, Endpoint]) -> None:
    """Raises `NothingUsable` when the journal of a finished run has replies to a stage but no usable one. `roles` maps
    stages to roles."""
    usable: set[str] = set()
    unusable: dict[str, _Unusable] = {}
    for row in read_journal(journal):
        if row.status is Status.ACCEPTED:
            usable.add(row.stage)
        elif row.status is not Status.FAILED and row.stage not in usable:
            unusable.setdefault(row.stage, _Unusable()).add(row.reason)
    for stage, reasons in unusable.items():
        if stage not in usable and stage in roles:
            raise reasons.error(stage, roles[stage], endpoints[roles[stage]])
