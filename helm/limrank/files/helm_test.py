"""What `helm test` runs in a pod: is the release ready, does it show metrics, does it rank, does it ask for keys?

Reads SERVICE_URL, METRICS_URL, KEYS_NEEDED (true or false) and API_KEY (may be absent). Standard library only.
"""

# ruff: noqa: S310, T201 - it fetches what the chart tells it to, and prints for a person
import json
import os
import sys
import urllib.error
import urllib.request

QUERY = "How is the flu treated?"
DOCUMENTS = ["The first railway opened in 1825.", "Rest and fluids help with influenza."]


def fetch(url: str, body: object = None, key: str = "") -> tuple[int, str]:
    """Status and text of the answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def expect(name: str, holds: bool, found: object) -> None:
    """Say what was looked at; stop at the first thing that is not as it should be."""
    print(f"{'ok' if holds else 'FAILED'}: {name}", flush=True)
    if not holds:
        sys.exit(f"found: {found}")


def main() -> None:
    """Exit 0 when everything holds."""
    service, key = os.environ["SERVICE_URL"], os.environ.get("API_KEY", "").strip()
    keys_needed = os.environ["KEYS_NEEDED"] == "true"
    call = {"query": QUERY, "documents": DOCUMENTS}

    status, text = fetch(f"{service}/health/ready")
    expect("ready", status == 200, (status, text))
    status, text = fetch(os.environ["METRICS_URL"])
    expect("metrics", status == 200 and "limrank_ready 1" in text, (status, text[:300]))
    if keys_needed:
        status, text = fetch(f"{service}/rerank", call)
        expect("a call without a key is refused", status == 401, (status, text))
    if key or not keys_needed:
        status, text = fetch(f"{service}/rerank", call, key)
        expect("a call is answered", status == 200, (status, text))
        scores = [result["relevance_score"] for result in json.loads(text)["results"]]
        expect("both documents have a score, best first", len(scores) == 2 and scores[0] >= scores[1], text)


if __name__ == "__main__":
    main()
