"""A call as OpenInference describes one of a reranker, for tools that watch language models (Phoenix, Langfuse, ...).

https://arize-ai.github.io/openinference/spec/semantic_conventions.html, as of its package 0.1.42.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from service.ranking import Ranking, RerankCall

Attribute = str | int | float | bool
Place = int | None

# OpenTelemetry keeps 128 attributes of a span unless told otherwise, and drops those that were set first.
MOST_DOCUMENTS = 20
MOST_CHARACTERS = 4000  # of a text


def reranker_attributes(
    calls: Mapping[Place, RerankCall], rankings: Mapping[Place, Ranking], *, texts: bool
) -> dict[str, Attribute]:
    """Returns the attributes of the calls in one body, of at least one, by their places in it (None: the body is the
    call). A call without a ranking failed. Queries and documents only with `texts`.

    A document's id is its index in its call, behind the call's place where it has one: `1.3`. MOST_DOCUMENTS are
    described, as sent and as ranked: as many of each call, or the first of as many calls.
    """
    attributes: dict[str, Attribute] = {"openinference.span.kind": "RERANKER"}
    tops = {call.top_n for call in calls.values()}
    if len(tops) == 1 and (top_n := tops.pop()) is not None:
        attributes["reranker.top_k"] = top_n
    shown = dict(islice(calls.items(), MOST_DOCUMENTS))
    each = MOST_DOCUMENTS // len(shown)
    if texts:
        queries = "\n".join(call.query[:MOST_CHARACTERS] for call in shown.values())
        attributes["reranker.query"] = queries[:MOST_CHARACTERS]
        sent = ((place, index, None) for place, call in shown.items() for index in range(len(call.passages))[:each])
        attributes |= _documents("input", sent, calls)
    if rankings:
        attributes["reranker.model_name"] = next(iter(rankings.values())).model
        ranked = (
            (place, result.index, result.relevance)
            for place in shown
            if place in rankings
            for result in rankings[place].results[:each]
        )
        attributes |= _documents("output", ranked, calls if texts else None)
    return attributes


def _documents(
    side: str, documents: Iterable[tuple[Place, int, float | None]], calls: Mapping[Place, RerankCall] | None
) -> Iterator[tuple[str, Attribute]]:
    """Yields the attributes of these documents, each a call's place, an index into its passages, and a score.

    `calls` None: no text is to be shown.
    """
    for number, (place, index, score) in enumerate(documents):
        prefix = f"reranker.{side}_documents.{number}.document"
        yield f"{prefix}.id", str(index) if place is None else f"{place}.{index}"
        if score is not None:
            yield f"{prefix}.score", score
        if calls is not None:
            yield f"{prefix}.content", calls[place].passages[index][:MOST_CHARACTERS]
