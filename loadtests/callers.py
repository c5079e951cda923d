"""What all callers have in common: sending a call, checking the answer, and heeding a refusal."""

# mypy: disable-error-code="misc"
from __future__ import annotations

import json
from typing import Any

import gevent
from locust import FastHttpUser

from loadtests.payloads import Texts
from loadtests.settings import LoadSettings
from loadtests.tally import Tally

_REFUSED = (429, 503)
_LONGEST_WAIT = 5.0  # seconds that a caller heeds a Retry-After for, so that a short run does not only sleep


class Caller(FastHttpUser):
    """A caller of `/rerank`. Its environment holds the run's `settings` and `tally`; nothing is ever sent twice."""

    abstract = True
    network_timeout = 310.0
    connection_timeout = 10.0
    max_retries = 0
    scenario = ""
    _number = 0

    def on_start(self) -> None:
        Caller._number += 1  # callers differ, and a run is the same each time
        settings = self.settings
        self.texts = Texts(settings.seed * 10_000 + Caller._number, settings.least_words, settings.most_words)

    @property
    def settings(self) -> LoadSettings:
        found: LoadSettings = self.environment.settings
        return found

    @property
    def tally(self) -> Tally:
        found: Tally = self.environment.tally
        return found

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.key}"} if self.settings.key else {}

    def passages(self, least: int, most: int) -> int:
        """How many passages the next call has."""
        return self.settings.passages or self.texts.between(least, most)

    def rerank(self, body: dict[str, Any]) -> None:
        """Send the call and count how it went. A refusal with Retry-After is no failure: it is heeded."""
        wait = 0.0
        with self.client.post(
            "/rerank", json=body, headers=self.authorization, name=self.scenario, catch_response=True
        ) as response:
            if response.status_code in _REFUSED and (response.headers or {}).get("retry-after"):
                wait = min(float(response.headers["retry-after"]), _LONGEST_WAIT)
                response.request_meta["name"] = f"{self.scenario} (refused)"
                response.success()
                self.tally.refused += 1
            elif fault := _fault(response, body):
                response.failure(fault)
                self.tally.failed += 1
            else:
                seconds = response.request_meta["response_time"] / 1000
                self.tally.answered(self.scenario, seconds, len(body["documents"]))
        gevent.sleep(wait)


def _fault(response: Any, body: dict[str, Any]) -> str:
    """What is wrong with an answer, as a sentence; empty where nothing is."""
    if response.status_code != 200:
        return f"answered {response.status_code}: {(response.text or str(response.error))[:200]}"
    try:
        results = json.loads(response.text)["results"]
        scores = [result["relevance_score"] for result in results]
        indices = sorted(result["index"] for result in results)
    except (ValueError, KeyError, TypeError) as error:
        return f"the answer is not a ranking: {error!r}"
    if indices != list(range(len(body["documents"]))):
        return f"{len(body['documents'])} documents were sent and {len(indices)} results came back"
    if scores != sorted(scores, reverse=True) or not all(0 <= score <= 1 for score in scores):
        return "the scores are not in order or not within [0, 1]"
    if body.get("return_reasoning") and not all(result.get("reasoning", {}).get("status") for result in results):
        return "a result has no reasoning"
    return ""
