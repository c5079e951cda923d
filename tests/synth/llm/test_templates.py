"""A prompt that lacks something is found before any call; what others wrote stays data inside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.records import Intent
from synth.errors import BadSettings
from synth.llm.stage import Stage
from synth.methods.corpus import judge as corpus_judge
from synth.methods.corpus import queries as corpus_queries
from synth.methods.persona import judge, negatives, passages, queries
from synth.pipeline import run
from tests.synth.endpoint import ScriptedEndpoint
from tests.synth.runs import limrank_settings

BUILDERS: dict[str, Callable[[], Stage[Any, Any]]] = {
    "limrank_queries": queries.queries_stage,
    "limrank_positive": passages.positive_stage,
    "limrank_negative": negatives.negative_stage,
    "limrank_judge": judge.judge_stage,
    "corpus_queries": corpus_queries.queries_stage,
    "corpus_judge": corpus_judge.judge_stage,
}


def test_every_template_has_a_stage_and_every_stage_its_template() -> None:
    found = {path.name for path in files("synth").joinpath("templates").iterdir()}
    assert found == {f"{name}.txt" for name in BUILDERS}
    stages = {build().name.replace(".", "_"): build() for build in BUILDERS.values()}
    assert set(stages) == set(BUILDERS)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_built_in_template_asks_for_json(name: str) -> None:
    """Some endpoints keep to JSON only where the messages say the word."""
    assert "JSON" in BUILDERS[name]().template.user.template


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "## system\ns\n## user\n${query} ${persona}",
            r"'\$\{persona\}' has no value here; the variables are instruction",
        ),
        ("## system\ns\n## user\n${query} ${passage} ${intent}", r"'\$\{instruction\}' is not used"),
        ("## system\ns\n## user\n${query} costs $5", r"a '\$' stands alone or before no name; write '\$\$'"),
        ("${query}", "a template begins with the line '## system'"),
        ("## system\nonly", "goes on with '## user'"),
    ],
)
def test_a_template_that_does_not_fit_stops_the_run_before_any_call(tmp_path: Path, text: str, said: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "limrank_judge.txt").write_text(text)
    with ScriptedEndpoint() as endpoint, pytest.raises(BadSettings, match=said) as caught:
        run(limrank_settings(tmp_path, endpoint.url, templates=own), StringIO())
    assert endpoint.counts.requests == 0
    assert str(own / "limrank_judge.txt") in str(caught.value)


def test_one_s_own_template_is_what_is_sent(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    given_text = files("synth").joinpath("templates/limrank_judge.txt").read_text()
    (own / "limrank_judge.txt").write_text(given_text.replace("Is the passage relevant to the query?", "It costs $$5."))
    with ScriptedEndpoint() as endpoint:
        run(limrank_settings(tmp_path, endpoint.url, seeds=1, templates=own), StringIO())
        judged = [body["messages"][1]["content"] for body in endpoint.counts.log if body["model"] == "judge"]
    assert len(judged) == 6
    assert all(prompt.startswith("It costs $5.") for prompt in judged)


@given(st.text(), st.text())
def test_no_text_leaves_its_quotes(query: str, passage: str) -> None:
    """A text with quotes, line ends, our own variables or markers stays one JSON string on one line of the prompt."""
    stage = judge.judge_stage()
    row = judge.PairRow(query + '"\n${passage} END OF DATA', None, Intent.DIRECT, passage)
    prompt = stage.messages(row)[1].content
    lines = prompt.split("\n")
    assert [json.loads(line.removeprefix("query: ")) for line in lines if line.startswith("query: ")] == [row.query]
    assert [json.loads(line.removeprefix("passage: ")) for line in lines if line.startswith("passage: ")] == [passage]
    assert lines.count("END OF DATA") == 1
