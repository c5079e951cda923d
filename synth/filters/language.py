"""The language filter, using py3langid (after Lui and Baldwin 2012); its only importer."""

from __future__ import annotations

from collections.abc import Collection

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]  # no types

from contract.records import Record
from retrieval.words import languages_by_script

SHOWN = 2000  # characters: more does not make the result more certain
SHORTEST = 20  # characters: no identifier is reliable on shorter texts


_ISO_639_1 = {  # the identifier's names without two letters, and varieties of one written language
    **dict.fromkeys(("yue", "wuu"), "zh"),
    **dict.fromkeys(("ary", "arz"), "ar"),
    **{"nn": "no", "nb": "no", "hbo": "he", "uzs": "uz", "sdh": "ku", "gug": "gn", "kik": "ki", "dz": "bo"},
}


class Language:
    """Drops a record whose query, passage or trace is certainly in a language other than `languages` (ISO 639-1).

    A script that belongs to one language decides (Japanese, Thai, Lao, Khmer, Burmese). Other texts are dropped when
    the identifier gives another language a probability of at least `confidence`. Texts under 20 characters are too
    short for it; of these only Chinese characters count, which are Chinese or Japanese.
    """

    name = "language"

    def __init__(self, languages: Collection[str] = ("en",), *, confidence: float = 0.9) -> None:
        self._languages = frozenset(_ISO_639_1.get(language, language) for language in languages)
        self._confidence = confidence
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def reason(self, record: Record) -> str | None:
        for where, text in (("query", record.query), ("passage", record.passage), ("trace", record.trace or "")):
            if (other := self._other_language(text)) is not None:
                return f"{where} in '{other}'"
        return None

    def _other_language(self, text: str) -> str | None:
        """The language of a text that is in none of the requested languages; None when it is, or may be."""
        possible = languages_by_script(text)
        if possible is not None:
            if not possible & self._languages:
                return min(possible)
            if possible <= self._languages or len(possible) == 1:
                return None
        if len(text) < SHORTEST:
            return None
        language, confidence = self._identifier.classify(text[:SHOWN])
        language = _ISO_639_1.get(language, language)
        return language if language not in self._languages and confidence >= self._confidence else None
