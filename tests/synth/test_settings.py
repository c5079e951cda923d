"""One knob, three places: flag before environment before file; what is no knob is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.settings import read_command
from synth.cli import COMMANDS, main
from synth.errors import BadSettings
from synth.llm.stage import Role
from synth.settings import PROGRAM, RunSettings
from synth.snapshot import keep_snapshot, read_snapshot
from tests.synth.examples import record, records_file
from tests.synth.runs import limrank_knobs, limrank_settings, toml_of

URL = "http://127.0.0.1:9/v1"


def read(*argv: str) -> RunSettings:
    return read_command(RunSettings, PROGRAM, "run", argv, [command.settings for command in COMMANDS])


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(toml_of(limrank_knobs(tmp_path, URL, seeds=1), tmp_path / "settings.toml"))


def test_a_flag_wins_over_the_environment_and_that_over_the_file(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("out", "--settings", file).generator.model == "writer"
    monkeypatch.setenv("LIMRANK_SYNTH_GENERATOR__MODEL", "from the environment")
    monkeypatch.setenv("LIMRANK_SYNTH_LIMRANK__VOTES", "3")
    settings = read("out", "--settings", file)
    assert (settings.generator.model, settings.limrank.votes) == ("from the environment", 3)
    assert settings.generator.base_url == URL
    settings = read("out", "--settings", file, "--generator.model", "from the flag", "--generator.max-tokens", "99")
    assert (settings.generator.model, settings.generator.max_tokens) == ("from the flag", 99)
    monkeypatch.setenv("LIMRANK_SYNTH_SETTINGS", file)
    assert read("out").judge.model == "judge"
    assert read("out", "--judge.key-variable", "NAME").judge.key_variable == "NAME"
    assert read("out", "--generator.key-variable", "").generator.key_variable == ""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--budget", "much"], "'budget' is 'much': Input should be a valid number"),
        (["--budget", "-1"], "'budget' is '-1': Input should be greater than 0"),
        (["--budget", "inf"], "'budget' is 'inf': Input should be a finite number"),
        (["--generator.price-prompt", "nan"], "'generator.price_prompt' is 'nan': Input should be a finite number"),
        (["--limrank.difficulties", '{"direct": Infinity}'], "'limrank.difficulties.direct"),
        (["--budget", "5"], "a budget needs prices of both endpoints"),
        (["--nonsense", "1"], "unrecognized arguments: --nonsense 1; `limrank-synth run --help` lists all"),
        (["--generator.structured", "yaml"], "'generator.structured' is 'yaml': Input should be 'auto', 'json_schema'"),
        (["--limrank.votes", "0"], "'limrank.votes' is '0': Input should be greater than or equal to 1"),
        (["--limrank.difficulties", '{"hard": 1}'], "'limrank.difficulties.hard"),
        (["--limrank.difficulties", '{"direct": 0}'], "shares must be 0 or more, and one at least more than 0"),
        (["--limrank.negative-types", '{"bm25": 1}'], "'bm25' is mined, not written; the written types are same_topic"),
        (["--generator.model", ""], "name the model of the generator: --generator.model"),
        (["--method", "corpus"], "--method corpus needs --corpus.documents"),
        (["--method", "corpus", "--corpus.positive-from", "3"], "negative_to 3 must be below positive_from 3"),
        (["--corpus.difficulties", '{"instruction": 1}'], "queries from a corpus have no instruction"),
        (["--settings", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_what_cannot_be_is_a_sentence(file: str, argv: list[str], said: str) -> None:
    with pytest.raises(BadSettings) as caught:
        read("out", *(argv if "--settings" in argv else ["--settings", file, *argv]))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_one_endpoint_writes_and_judges_unless_another_is_named(file: str, tmp_path: Path) -> None:
    knobs = {name: value for name, value in limrank_knobs(tmp_path, URL, seeds=1).items() if name != "judge"}
    settings = read("out", "--settings", str(toml_of(knobs, tmp_path / "alone.toml")))
    assert settings.endpoints[Role.JUDGE] == settings.generator
    assert read("out", "--settings", file).endpoints[Role.JUDGE] == read("out", "--settings", file).judge


def test_a_file_is_held_to_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('generator = {model = "m", modle = "n"}\n')
    with pytest.raises(BadSettings, match=r"'generator\.modle' is no setting of this command"):
        read("out", "--settings", str(path))
    path.write_text("generator = [")
    with pytest.raises(BadSettings, match="not TOML"):
        read("out", "--settings", str(path))


def test_an_unknown_name_with_our_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMRANK_SYNTH_GENERATER__MODEL", "x")
    with pytest.raises(BadSettings, match="LIMRANK_SYNTH_GENERATER__MODEL is no setting of limrank-synth"):
        read("out")


def test_names_of_the_other_programs_are_let_be(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMRANK_PORT", "1")
    monkeypatch.setenv("LIMRANK_TRAIN_EPOCHS", "1")
    assert read("out", "--settings", file).run == Path("out")


def test_a_run_folder_keeps_its_knobs_and_templates_whatever_the_environment_says_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = limrank_settings(tmp_path, URL, seeds=1, random_seed=5)
    own = tmp_path / "own"
    own.mkdir()
    (own / "limrank_judge.txt").write_text("## system\nours\n## user\n${query}")
    keep_snapshot(settings.run, settings, own)
    monkeypatch.setenv("LIMRANK_SYNTH_LIMRANK__DOMAINS", '{"sports": {"share": 9}}')
    monkeypatch.setenv("LIMRANK_SYNTH_RANDOM_SEED", "8")
    knobs, templates = read_snapshot(settings.run)
    assert knobs.model_dump() == settings.model_dump(include=set(type(knobs).model_fields))
    assert (templates / "limrank_judge.txt").read_text().startswith("## system\nours")
    assert (templates / "limrank_queries.txt").read_text().startswith("## system\nYou write realistic")


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_says_what_it_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert "--settings" in capsys.readouterr().out


def test_the_program_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[2:]] == [command.name for command in COMMANDS]
    for argv in ([], ["dance"]):
        assert main(argv) == 2
        assert capsys.readouterr().err.startswith("usage: limrank-synth COMMAND")


def test_an_error_is_one_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "limrank-synth run: name the model of the generator: --generator.model; --method limrank needs "
        "--limrank.seeds; --method limrank needs --limrank.seeds-licence; --method limrank needs --limrank.personas; "
        "--method limrank needs --limrank.personas-licence.\n"
    )
    assert main(["status", str(tmp_path)]) == 2
    assert "it is no run folder" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file where a folder should be, for every command; a run would otherwise end in a traceback."""
    source = records_file(tmp_path / "records.jsonl", [record(0)])
    nowhere = str(source / "out")
    knobs = limrank_knobs(tmp_path / "run", URL)
    settings = toml_of(knobs, tmp_path / "settings.toml")
    for arguments in (
        ["run", nowhere, "--settings", str(settings)],
        ["verify", str(source), nowhere],
        ["audit", str(source), nowhere],
        ["audit", str(tmp_path / "missing.jsonl"), str(tmp_path / "page.html")],
        ["export", nowhere, "--mix", str(source)],
        ["import", "rank1", str(source), nowhere, "--source", "x", "--licence", "CC0-1.0"],
    ):
        assert main(arguments) == 1, arguments
        said = capsys.readouterr().err
        assert said.startswith(f"limrank-synth {arguments[0]}: ")
        assert said.endswith("; give a path that can be read and written.\n")
        assert len(said.splitlines()) == 1


def test_no_knob_is_without_help() -> None:
    def fields(model: Any, place: str) -> list[str]:
        bare = []
        for name, field in model.model_fields.items():
            inner = field.annotation if hasattr(field.annotation, "model_fields") else None
            bare += fields(inner, f"{place}.{name}") if inner else [] if field.description else [f"{place}.{name}"]
        return bare

    assert [name for command in COMMANDS for name in fields(command.settings, command.name)] == []
