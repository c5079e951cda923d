"""A causal model in front of another one, both on real engines behind the real server: tiny models of random numbers,
with tokenizers and lengths of their own."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from contract.adaptive.curves import Curve
from contract.adaptive.parameters import Gate
from contract.adaptive.reaching import Reaching
from contract.checkpoint.manifest import read_manifest
from service.main import compose
from service.models.checkpoint import Checkpoint
from service.models.store import resolve
from service.settings import Settings
from tests.contract.adaptive.scripted import parameters
from tests.service.serving import serving
from tests.waiting import PATIENCE

KEEP = 2
CLOSE = 1e-4  # sums of the same numbers in batches of another size
TEXTS = [
    "Gout is treated with colchicine.",
    "Bread rises in the warmth.",
    "Tea is steeped.",
    "A bicycle is oiled.",
    "Rest helps a joint.",
    "",
]
BODY: dict[str, Any] = {"query": "how is gout treated", "documents": TEXTS}


class Served(NamedTuple):
    """The cascade, its first stage by itself, and the folders of both models."""

    cascade: httpx.Client
    first: httpx.Client
    folders: dict[str, str]


@pytest.fixture(scope="module")
def served(small_checkpoint: Checkpoint, tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = tmp_path_factory.mktemp("pair")
    tiny = resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=made / "cache")
    first = Path(shutil.copytree(tiny.folder, made / "first"))
    (first / "contents.json").unlink()
    second = Path(shutil.copytree(small_checkpoint.folder, made / "second"))
    before, manifest = read_manifest(first), read_manifest(second)
    assert before is not None
    assert manifest is not None
    gate = Gate(parameters(early_stop=True, tolerance=0.0), "measured")
    sure = Reaching(Curve((0.0,), (0.0,), 1.0), Curve((0.0,), (0.0,)))
    dataclasses.replace(
        manifest,
        adaptive=gate.to_json(manifest.fingerprint),
        first_stage=sure.to_json(manifest.fingerprint, "first", before.fingerprint),
    ).write(second)
    folders = {"model": str(second), "first_stage": str(first)}
    cascade = compose(settings(**folders, first_stage_keep=KEEP))
    alone = compose(settings(model=str(first)))
    with serving(cascade.app) as url, serving(alone.app) as other:
        patient = httpx.Timeout(PATIENCE)
        with httpx.Client(base_url=url, timeout=patient) as one, httpx.Client(base_url=other, timeout=patient) as two:
            yield Served(one, two, folders)


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"engine": "transformers", "threads": 1, **more})


def asked(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/rerank", json={**BODY, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def order(answer: dict[str, Any]) -> list[int]:
    return [result["index"] for result in answer["results"]]


def scores(answer: dict[str, Any]) -> dict[int, float]:
    return {result["index"]: result["relevance_score"] for result in answer["results"]}


def test_the_first_model_chooses_and_the_second_scores_what_it_would_score_alone(served: Served) -> None:
    before = asked(served.first)
    kept, rest = order(before)[:KEEP], order(before)[KEEP:]
    found = asked(served.cascade)
    assert sorted(order(found)[:KEEP]) == sorted(kept)
    assert order(found)[KEEP:] == rest
    assert [(r["stage"], r["status"]) for r in found["results"]] == [("second", "direct")] * KEEP + [
        ("first", "direct")
    ] * len(rest)
    alone = asked(served.cascade, documents=[TEXTS[index] for index in kept])
    assert [result["stage"] for result in alone["results"]] == ["second"] * KEEP
    for place, score in scores(alone).items():
        assert scores(found)[kept[place]] == pytest.approx(score, abs=CLOSE)
    least = min(scores(found)[index] for index in kept)
    for index in rest:
        assert scores(found)[index] == pytest.approx(min(scores(before)[index], least), abs=CLOSE)
    assert found["usage"]["prompt_tokens"] == before["usage"]["prompt_tokens"] + alone["usage"]["prompt_tokens"]


def test_reasoning_and_adaptive_mode_are_the_second_models(served: Served) -> None:
    direct = asked(served.cascade)
    reasoned = asked(served.cascade, mode="reasoning", max_reasoning_tokens=12, return_reasoning=True)
    written = [result["reasoning"]["tokens"] for result in reasoned["results"]]
    assert all(0 < tokens <= 12 for tokens in written[:KEEP])
    assert written[KEEP:] == [0] * (len(TEXTS) - KEEP)
    assert sum(written) == reasoned["usage"]["completion_tokens"]
    adaptive = asked(served.cascade, mode="adaptive", reasoning_budget=30, max_reasoning_tokens=12)
    use = adaptive["meta"]["adaptive"]
    assert 0 < use["reasoned"] <= KEEP
    assert 0 < adaptive["usage"]["completion_tokens"] <= 30
    traced = [result for result in adaptive["results"] if result["status"] != "direct"]
    assert [result["stage"] for result in traced] == ["second"] * use["reasoned"]
    nothing = asked(served.cascade, mode="adaptive", reasoning_budget=0)
    assert order(nothing) == order(direct)
    assert scores(nothing) == pytest.approx(scores(direct), abs=CLOSE)
    assert nothing["usage"]["completion_tokens"] == 0


def test_streams_batches_and_the_callers_own_scores(served: Served) -> None:
    whole = asked(served.cascade)
    streamed = served.cascade.post("/rerank", json=BODY, headers={"Accept": "application/x-ndjson"})
    events = [json.loads(line) for line in streamed.text.splitlines()]
    assert {(e["index"], e["stage"], e["status"]) for e in events if "index" in e} == {
        (r["index"], r["stage"], r["status"]) for r in whole["results"]
    }
    ranks = {"first_stage_ranks": [6, 5, 4, 3, 2, 1], "first_stage_weight": 1}
    requests = [BODY, {**BODY, **ranks}, {**BODY, "mode": "adaptive"}, {**BODY, "documents": TEXTS[:1]}]
    batch = served.cascade.post("/v1/rerank/batch", json={"requests": requests}).json()["results"]
    assert [member["status"] for member in batch] == [200] * 4
    plain, fused, adaptive, single = (member["body"] for member in batch)
    assert order(plain) == order(whole)
    assert order(fused) == [5, 4, 3, 2, 1, 0]
    assert [result["stage"] for result in fused["results"][:KEEP]] == ["second"] * KEEP
    assert "in a batch no document is reasoned about" in adaptive["meta"]["warnings"][0]
    assert adaptive["meta"]["adaptive"]["reasoned"] == 0
    assert [(r["index"], r["stage"], r["status"]) for r in single["results"]] == [(0, "second", "direct")]


def test_what_the_shorter_model_cannot_hold_is_refused_where_nothing_may_be_cut(served: Served) -> None:
    long = "Gout is treated with colchicine. " * 20  # more than the first stage's 512 tokens, and far from the second's
    refused = served.cascade.post("/rerank", json={**BODY, "documents": [long, *TEXTS], "truncation": False})
    assert refused.status_code == 400
    assert "Document 0 has more than" in refused.text
    cut = asked(served.cascade, documents=[long, *TEXTS])
    [stage] = [result["stage"] for result in cut["results"] if result["index"] == 0]
    told = any("documents were truncated: 0." in warning for warning in cut["meta"]["warnings"])
    assert told == (stage == "first"), "of what was cut for the model that gave the score"


def test_the_service_tells_of_both_models(served: Served) -> None:
    first = served.cascade.get("/info").json()["first_stage"]
    assert (first["kind"], first["engine"]["name"], first["keep"]) == ("causal", "transformers", KEEP)
    assert first["max_model_tokens"] == 512
    assert first["keep_by_belief"] == {"on": False, "reason": "--first-stage-keep says how many"}
    asked(served.cascade)
    metrics = served.cascade.get("/metrics").text
    for stage in ("first", "second"):
        name = f'limrank_documents_by_stage_total{{stage="{stage}"}}'
        [value] = [line.split()[-1] for line in metrics.splitlines() if line.startswith(name)]
        assert float(value) > 0


def test_what_was_fitted_for_both_says_how_many_are_kept(served: Served) -> None:
    """The belief is sure that the second model says what the first does: the top is enough."""
    many = [f"Page {number} on gout." for number in range(30)]
    with (
        serving(compose(settings(**served.folders)).app) as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        assert client.get("/info").json()["first_stage"]["keep_by_belief"] == {"on": True, "reason": ""}
        found = client.post("/rerank", json={**BODY, "documents": many, "top_n": 4}).json()
        assert [result["stage"] for result in found["results"]] == ["second"] * 4
        assert 'limrank_documents_by_stage_total{stage="second"} 4.0' in client.get("/metrics").text
    turned = {"model": served.folders["first_stage"], "first_stage": served.folders["model"]}
    with serving(compose(settings(**turned)).app) as url:
        fitted = httpx.get(f"{url}/info").json()["first_stage"]["keep_by_belief"]
    assert not fitted["on"]
    assert "nothing was fitted for these two models" in fitted["reason"]
