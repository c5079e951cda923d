"""README.md of a checkpoint: what it is, how it was made, and its measured scores; nothing that was not measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.checkpoint.manifest import Manifest
from contract.checkpoint.model_config import SIMILARITY_BERT
from trainer.errors import BadData
from trainer.run.dev_score import DEV, say


@dataclass(frozen=True, slots=True)
class Rounding:
    """The effect of storing the weights as `dtype`: the largest `change` in log-odds over `pairs` pairs, and the dev
    score before (`exact`) and after (`rounded`)."""

    dtype: str
    change: float
    pairs: int
    exact: Mapping[str, float] | None
    rounded: Mapping[str, float] | None


def read_results(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The result.json files of limrank-eval, by task and protocol: `scores` (measure -> mean), `protocol`, `queries`.

    Raises BadData for any other file.
    """
    results = {}
    for path in paths:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            protocol, measures = found["protocol"], found["measures"]
            name = f"{found['task']}, {protocol['first_stage']} top {protocol['depth']}"
            scores = {measure: round(value["mean"], 4) for measure, value in measures.items()}
            results[name] = {"scores": scores, "protocol": protocol, "queries": found["queries"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadData(f"{path} is no result.json of limrank-eval: {error!r}.") from error
    return results


_BESIDE = (
    "The bi-encoder that it was made from stays in the network, and its cosine is part of the number. limrank serves "
    f"this architecture (`{SIMILARITY_BERT}`); transformers and Sentence Transformers alone do not know it."
)


def model_card(
    manifest: Manifest,
    rounding: Rounding | None,
    results: Mapping[str, Mapping[str, Any]],
    merge_change: float | None = None,
) -> str:
    """The card as Markdown, with the front matter that model hubs read."""
    parts = [_front_matter(manifest), _what(manifest), _how(manifest), _scores(manifest, results)]
    if rounding is not None and merge_change is not None:
        parts.append(_numbers(rounding, merge_change))
    return "\n".join(parts)


def _front_matter(manifest: Manifest) -> str:
    licences = " AND ".join(manifest.licences) or "unknown"
    kind = "text-ranking"
    return f"---\nbase_model: {manifest.base}\nlicense: other\nlicense_name: {licences}\npipeline_tag: {kind}\n---\n"


def _what(manifest: Manifest) -> str:
    if manifest.kind == "cross-encoder":
        beside = (manifest.config or {}).get("model_type") == SIMILARITY_BERT
        return (
            "# A cross-encoder that reranks\n\nIt reads query and passage together and gives one number, the log-odds "
            f"that the passage is relevant (divided by the temperature, {manifest.temperature}).\n"
        ) + (f"\n{_BESIDE}\n" if beside else "")
    form = manifest.format.name if manifest.format else "unknown"
    return (
        f"# A pointwise reranker\n\nIt answers true or false to a prompt of the format `{form}`, at once or after a "
        "written trace. Scores are the log-odds of the two words after the close (divided by the temperature, "
        f"{manifest.temperatures.direct}, behind a trace {manifest.temperatures.reasoning}).\n"
    )


def _how(manifest: Manifest) -> str:
    lines = [
        "## How it was made\n",
        f"- base: {manifest.base}" + (f" ({manifest.base_revision})" if manifest.base_revision else ""),
        f"- recipe: {manifest.recipe or 'not stated'}",
        f"- training file: sha256 {manifest.data_sha256 or 'not stated'}",
        f"- licences of base and data: {', '.join(manifest.licences) or 'not stated'}",
    ]
    if manifest.non_commercial:
        lines.append("- **derived from non-commercial data: not for commercial use**")
    return "\n".join(lines) + "\n"


def _scores(manifest: Manifest, results: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["## Measured\n"]
    for name, result in results.items():
        shown = ", ".join(f"{measure} {value:.4f}" for measure, value in result["scores"].items())
        lines.append(f"- {name} ({result['queries']} queries; {result['protocol']['passage']}): {shown}")
    dev = manifest.scores.get(DEV)
    if isinstance(dev, Mapping):
        lines.append(f"- at the end of training: {say(dev)}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "- nothing yet"]) + "\n"


def _numbers(rounding: Rounding, merge_change: float) -> str:
    lines = [
        "## Numbers\n",
        f"- merging the adapter changed log-odds by at most {merge_change:.1e} in float32",
        f"- weights are stored as {rounding.dtype}, which changes log-odds by at most {rounding.change:.4f} in "
        f"{rounding.pairs} pairs",
    ]
    if rounding.exact is not None and rounding.rounded is not None:
        lines.append(
            f"- {DEV}, direct mode: {rounding.exact['score']:.4f} in float32, {rounding.rounded['score']:.4f} as stored"
        )
    return "\n".join(lines) + "\n"
