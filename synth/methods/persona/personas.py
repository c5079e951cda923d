"""Stage 1: personas, sampled by a seed and balanced over the domains. Makes no calls."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path

from retrieval.json_rows import read_rows
from retrieval.words import is_unspaced
from synth.errors import BadInput, BadSettings
from synth.methods.persona.settings import Domain


class PersonaPool:
    """Personas by domain, in memory (about 100 bytes each).

    A row is `{"persona": text}`. A row with `"domain"` belongs to that domain, any other to each domain one of whose
    words it contains. Raises `BadInput` for a bad row, `BadSettings` when a domain with a quota gets no persona.
    """

    def __init__(self, path: Path, domains: Mapping[str, Domain]) -> None:
        self._by_domain: dict[str, list[str]] = {name: [] for name in domains}
        patterns = {name: _words(domain.words) for name, domain in domains.items()}
        for row in read_rows(path):
            persona = row.value.get("persona") if row.value else None
            if row.problem or not isinstance(persona, str) or not persona.strip():
                problem = row.problem or "'persona' is missing or blank; each row is {\"persona\": text}."
                raise BadInput(f"{path}, row {row.number}: {problem}")
            given = row.value.get("domain") if row.value else None
            for name, pattern in patterns.items():
                if given == name or (given is None and pattern and pattern.search(persona)):
                    self._by_domain[name].append(persona.strip())
        for name, personas in self._by_domain.items():
            if not personas:
                raise BadSettings(
                    f"{path}: no persona belongs to the domain '{name}'; give it more words, or personas that name it."
                )

    def draw(self, domain: str, seed: str) -> str:
        """One persona of `domain`; the same seed draws the same one."""
        return random.Random(seed).choice(  # noqa: S311 - a draw, not a secret
            self._by_domain[domain]
        )


def _words(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Matches one of the words at the beginning of a word; in scripts without blanks anywhere."""
    if not words:
        return None
    beginnings = (("" if is_unspaced(word[:1]) else r"\b") + re.escape(word) for word in words)
    return re.compile("|".join(beginnings), re.IGNORECASE)
