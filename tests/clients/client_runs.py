"""Run a client's script, and its snippets from docs/clients.md, in the environment that holds the client."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.live_service import DOCUMENTS, QUERY, SLOW_KEY, LiveService
from tests.requirements_check import require
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
PAGE = ROOT / "docs" / "clients.md"
ADDRESS_IN_DOCS = "http://127.0.0.1:8080"
KEY_IN_DOCS = "your-key"
# Which environment holds the client of which script.
ENVIRONMENTS = {
    "cohere_sdk": "a",
    "voyage_sdk": "a",
    "openai_sdk": "a",
    "haystack_tei": "a",
    "langchain_nvidia": "a",
    "langchain_cohere_rerank": "b",
    "litellm_rerank": "b",
    "llama_index_rerank": "b",
}
# A client may reach nothing but the service: what it would fetch or report elsewhere meets a closed port.
CLOSED = "http://127.0.0.1:9"
SURROUNDINGS = {
    "HTTP_PROXY": CLOSED,
    "HTTPS_PROXY": CLOSED,
    "NO_PROXY": "127.0.0.1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONWARNINGS": "ignore",  # the clients' own deprecations are not ours to mend
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of each named call of a script, and what its snippets printed."""

    outcomes: dict[str, Any]
    printed: list[str]

    def value(self, name: str) -> Any:
        """What call `name` returned; fails, with its error, if it raised one."""
        assert "value" in self.outcomes[name], f"{name}: {self.outcomes[name]}"
        return self.outcomes[name]["value"]

    def error(self, name: str) -> dict[str, Any]:
        """What call `name` raised: type, bases, status, text; fails if it returned."""
        assert "error" in self.outcomes[name], f"{name} raised nothing: {self.outcomes[name]}"
        found: dict[str, Any] = self.outcomes[name]["error"]
        return found

    def ranked(self, name: str) -> list[tuple[int, float]]:
        return [(entry[0], entry[1]) for entry in self.value(name)]


def snippets(script: str) -> list[str]:
    """The programs in docs/clients.md that stand under `<!-- runs with: script -->`."""
    return re.findall(rf"<!-- runs with: {script} -->\n+```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run_client(script: str, service: LiveService, folder: Path) -> Answers:
    """Run `script` against `service`; its snippets get the service's address and key in place of the page's."""
    python = ROOT / f".venv-clients-{ENVIRONMENTS[script]}" / "bin" / "python"
    require("clients", present=python.exists(), remedy=f"run `make clients` to build {python.parents[1].name}")
    programs = []
    for number, text in enumerate(snippets(script)):
        programs.append(folder / f"{script}_{number}.py")
        programs[-1].write_text(text.replace(ADDRESS_IN_DOCS, service.url).replace(KEY_IN_DOCS, service.key))
    case = {"url": service.url, "key": service.key, "slow_key": SLOW_KEY, "query": QUERY, "documents": DOCUMENTS}
    done = subprocess.run(
        [python, "-P", SCRIPTS / "run.py", SCRIPTS / f"{script}.py", *programs],
        input=json.dumps(case),
        env=SURROUNDINGS | {"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{script} exited with {done.returncode}:\n{done.stderr[-4000:]}"
    *printed, last = done.stdout.splitlines()
    return Answers(json.loads(last), [line for line in printed if re.match(r"\d+ -?\d", line)])
