"""A call as OpenInference describes one of a reranker, for tools that watch language models (Phoenix, Langfuse, ...).

https://arize-ai.github.io/openinference/spec/semantic_conventions.html, as of its package 0.1.42.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from service.ranking import Ranking, RerankCall

Attribute = str | int | float | bool

# OpenTelemetry keeps 128 attributes of a span unless told otherwise, and drops those that were set first.
MOST_DOCUMENTS = 20
MOST_CHARACTERS = 4000  # of a text


def reranker_attributes(call: RerankCall, ranking: Ranking | None, *, texts: bool) -> dict[str, Attribute]:
    """Returns the attributes of a call; `ranking` None: it failed. Query and documents only with `texts`.

    A document's id is its index in the call. The first MOST_DOCUMENTS are described, as sent and as ranked.
    """
    attributes: dict[str, Attribute] = {"openinference.span.kind": "RERANKER"}
    if call.top_n is not None:
        attributes["reranker.top_k"] = call.top_n
    if texts:
        attributes["reranker.query"] = call.query[:MOST_CHARACTERS]
        attributes |= _documents("input", ((index, None) for index in range(len(call.passages))), call.passages)
    if ranking is not None:
        attributes["reranker.model_name"] = ranking.model
        results = ((result.index, result.relevance) for result in ranking.results)
        attributes |= _documents("output", results, call.passages if texts else None)
    return attributes


def _documents(
    side: str, documents: Iterable[tuple[int, float | None]], passages: Sequence[str] | None
) -> Iterator[tuple[str, Attribute]]:
    """Yields the attributes of these documents, each an index into `passages` with its score; None: not to be shown."""
    for place, (index, score) in enumerate(islice(documents, MOST_DOCUMENTS)):
        prefix = f"reranker.{side}_documents.{place}.document"
        yield f"{prefix}.id", str(index)
        if score is not None:
            yield f"{prefix}.score", score
        if passages is not None:
            yield f"{prefix}.content", passages[index][:MOST_CHARACTERS]
