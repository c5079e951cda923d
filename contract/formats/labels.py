"""Formats as version 1 manifests write them: labels before query and passage, as LimRank and Rank1 have."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

InstructionPlace = Literal["query", "preamble"]


@dataclass(frozen=True, slots=True)
class Labels:
    """The fixed text around query and passage. The instruction goes on the query's line or after the preamble
    (`instruction_place`).

    The defaults are the exact wording of LimRank (arXiv 2510.23544) and Rank1 (arXiv 2502.18418).
    """

    name: str = "limrank"
    preamble: str = "Determine if the following passage is relevant to the query. Answer only with 'true' or 'false'."
    query_label: str = "\nQuery:"
    passage_label: str = "\nPassage:"
    open: str = "<think>"
    close: str = "</think>"
    true_word: str = " true"
    false_word: str = " false"
    instruction_place: InstructionPlace = "query"

    def pieces(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The prompt with an instruction and without; the one cut is before ` {document}`."""
        return (self._before_cut(" {instruction}"), self._rest()), (self._before_cut(""), self._rest())

    def _before_cut(self, stated: str) -> str:
        behind_query, behind_preamble = (stated, "") if self.instruction_place == "query" else ("", stated)
        return f"{self.preamble}{behind_preamble}{self.query_label} {{query}}{behind_query}{self.passage_label}"

    def _rest(self) -> str:
        return f" {{document}}\n{self.open}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
