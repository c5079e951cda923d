"""Is it in a language that was asked for? By py3langid (after Lui and Baldwin 2012); the one importer of it."""

from __future__ import annotations

from collections.abc import Collection

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]  # it ships no types

from contract.records import Record
from retrieval.words import languages_by_script

SHOWN = 2000  # characters: more does not make it surer
SHORTEST = 20  # characters: below it no identifier can be trusted


class Language:
    """Drops a record whose query, passage or trace is surely in another language than `languages` (ISO 639-1).

    Surely: the identifier gives another language at least `confidence`. Of texts under 20 characters only the script is
    looked at, where it tells the language (Japanese, Chinese, Thai, Lao, Khmer, Burmese); others are let pass.
    """

    name = "language"

    def __init__(self, languages: Collection[str] = ("en",), *, confidence: float = 0.9) -> None:
        self._languages = frozenset(languages)
        self._confidence = confidence
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def reason(self, record: Record) -> str | None:
        for where, text in (("query", record.query), ("passage", record.passage), ("trace", record.trace or "")):
            if len(text) < SHORTEST:
                possible = languages_by_script(text)
                if possible is not None and not possible & self._languages:
                    return f"{where} in '{min(possible)}'"
                continue
            language, confidence = self._identifier.classify(text[:SHOWN])
            if language not in self._languages and confidence >= self._confidence:
                return f"{where} in '{language}'"
        return None
