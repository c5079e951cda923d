"""One reader for all programs: flag before environment before file before default; what is no setting is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import BaseModel, Field, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from cli.environment import Program, close_name, own_names
from cli.errors import BadSettings
from cli.settings import Command, Settings, read_command, read_program


class Endpoint(BaseModel):
    """An endpoint."""

    model: str = Field(default="none", description="name of the model")
    price: float = Field(default=0.0, ge=0, description="price of a token")


class Make(Command):
    """Make something."""

    model_config = SettingsConfigDict(env_prefix="KITE_MAKE_", env_nested_delimiter="__")

    out: CliPositionalArg[Path] = Field(description="file to write")
    count: int = Field(default=1, ge=1, description="how many")
    file: str | None = Field(default=None, description="a settings file")
    endpoint: Endpoint = Endpoint()
    hours: float = Field(default=1.0, description="how long")

    @model_validator(mode="after")
    def _not_thirteen(self) -> Make:
        if self.count == 13:
            raise ValueError("13 is out of the question")
        return self


class Watch(Command):
    """Watch something."""

    model_config = SettingsConfigDict(env_prefix="KITE_MAKE_")

    seconds: float = Field(default=1.0, description="how long")


def files(given: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        "one": {"count": 5, "endpoint": {"model": "of the file", "price": 2}},
        "bad": {"cuont": 5},
    }
    return known[given["file"]] if "file" in given else {}


MAKE = Program("kite-make", "KITE_MAKE_", foreign=("KITE_MAKE_OTHER_",), file=files)


def make(*argv: str) -> Make:
    return read_command(Make, MAKE, "make", argv, [Make, Watch])


def refused(*argv: str) -> str:
    with pytest.raises(BadSettings) as caught:
        make(*argv)
    return str(caught.value)


class Section(Settings):
    model_config = SettingsConfigDict(env_prefix="KITE_", enable_decoding=False)


class Listening(Section):
    """where it listens"""

    host: str = Field(default="here", description="address")
    port: int = Field(default=80, ge=0, le=65535, description="port")


class Access(Section):
    """who may call"""

    trusted: bool = Field(default=False, description="ask nothing")


SERVE = Program("kite-serve", "KITE_", foreign=("KITE_MAKE_",))


class Service(Listening, Access):
    """All settings of the service."""


def serve(*argv: str, **environ: str) -> Service:
    return read_program(Service, SERVE, argv, environ)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make("x").count == 1
    assert make("x", "--file", "one").count == 5
    monkeypatch.setenv("KITE_MAKE_COUNT", "6")
    monkeypatch.setenv("KITE_MAKE_ENDPOINT__PRICE", "3")
    assert make("x", "--file", "one").count == 6
    assert make("x", "--file", "one", "--count", "7").count == 7
    found = make("x", "--file", "one", "--endpoint.model", "of the flag")
    assert (found.endpoint.model, found.endpoint.price) == ("of the flag", 3.0), "each field from its own source"
    monkeypatch.setenv("KITE_MAKE_FILE", "one")
    assert make("x").endpoint == Endpoint(model="of the file", price=3)


def test_the_environment_can_name_a_whole_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITE_MAKE_ENDPOINT", '{"model": "m"}')
    assert make("x").endpoint.model == "m"
    monkeypatch.setenv("KITE_MAKE_ENDPOINT", "{")
    assert refused("x").startswith('error parsing value for field "endpoint"')


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "error parsing CLI: the following arguments are required: OUT; `kite-make make --help` lists all."),
        (
            ("x", "--cuont", "1"),
            "error parsing CLI: unrecognized arguments: --cuont 1; `kite-make make --help` lists all.",
        ),
        (("x", "--count", "0"), "'count' is '0': Input should be greater than or equal to 1."),
        (("x", "--count", "13"), "13 is out of the question."),
        (("x", "--file", "bad"), "'cuont' is no setting of this command."),
        (("x", "--endpoint.price", "-1"), "'endpoint.price' is '-1': Input should be greater than or equal to 0."),
        (("x", "--hours", "inf"), "'hours' is 'inf': Input should be a finite number."),
        (("x", "--hours", "nan"), "'hours' is 'nan': Input should be a finite number."),
    ],
)
def test_what_a_command_cannot_use_is_one_sentence(argv: tuple[str, ...], said: str) -> None:
    assert refused(*argv) == said


def test_every_wrong_value_has_a_sentence() -> None:
    assert len(refused("x", "--count", "0", "--endpoint.price", "-1").splitlines()) == 2


def test_a_setting_without_a_value_is_said_to_be_missing() -> None:
    class Must(Command):
        """Needs a value."""

        model_config = SettingsConfigDict(env_prefix="KITE_MAKE_")
        needed: int = Field(description="a number")

    with pytest.raises(BadSettings, match=r"^'needed' is not given, and it has no default\.$"):
        read_command(Must, Program("kite-make", "KITE_MAKE_"), "must", [], [Must])


def test_names_of_other_commands_and_programs_are_let_be_and_others_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KITE_MAKE_SECONDS", "KITE_MAKE_OTHER_THING", "KITE_PORT", "KITE_MAKE_SERVICE_HOST"):
        monkeypatch.setenv(name, "1")
    assert make("x").count == 1
    monkeypatch.setenv("KITE_MAKE_CUONT", "1")
    assert refused("x") == "KITE_MAKE_CUONT is no setting of kite-make; unset it, or look its name up with --help."


def test_an_object_reads_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITE_MAKE_COUNT", "6")
    monkeypatch.setenv("KITE_PORT", "6")
    assert Make(out=Path("x")).count == 1
    assert Service().port == 80
    with pytest.raises(ValueError, match="frozen"):
        Service().port = 1


def test_a_program_without_commands_takes_flags_and_the_environment_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KITE_PORT", "6")
    assert serve().port == 80
    assert serve(KITE_PORT="7").port == 7
    assert serve("--port", "8", "--trusted", KITE_PORT="7") == Service(port=8, trusted=True)
    assert serve("--no-trusted", KITE_TRUSTED="true", KITE_HOST=" ") == Service()
    assert serve(KITE_HOST="{", KITE_MAKE_X="1", kite_port="1") == Service(host="{")


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (("--prot", "1"), {}, "--prot is no flag; did you mean --port? --help lists all."),
        (("--zzz=1",), {}, "--zzz is no flag. --help lists all."),
        (("--port",), {}, "Argument --port: expected one argument; --help lists all."),
        (("--port", "x"), {}, "--port 'x' should be a valid integer, unable to parse string as an integer."),
        ((), {"KITE_PORT": "70000"}, "KITE_PORT='70000' should be less than or equal to 65535."),
        ((), {"KITE_PROT": "1"}, "KITE_PROT is no setting; did you mean KITE_PORT? --help lists all."),
        ((), {"KITE_Z": "1"}, "KITE_Z is no setting. --help lists all."),
    ],
)
def test_what_a_program_cannot_use_names_the_flag_or_the_variable(
    argv: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        serve(*argv, **environ)
    assert str(caught.value) == said


def test_help_has_a_heading_for_each_section(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        serve("--help")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "where it listens:\n  --host TEXT" in shown
    assert "--port N" in shown
    assert "port (default 80)" in shown
    assert "who may call:\n  --trusted, --no-trusted" in shown
    assert "--some-flag is KITE_SOME_FLAG. Flags win." in " ".join(shown.split())
    with pytest.raises(SystemExit):
        serve("--version")
    assert capsys.readouterr().out.strip()


def test_what_kubernetes_injects_for_a_service_is_nobodys_setting() -> None:
    program = Program("kite-serve", "KITE_")
    injected = {
        "KITE_SERVICE_HOST": "10.0.0.1",
        "KITE_SERVICE_PORT_HTTP": "80",
        "KITE_PORT": "tcp://10.0.0.1:80",
        "KITE_PORT_80_TCP_ADDR": "10.0.0.1",
        "KITE_GPU_PORT_53_UDP": "udp://10.0.0.1:53",
    }
    assert own_names(program, injected) == []
    assert own_names(program, injected | {"KITE_PORT": "80", "PATH": "x"}) == ["KITE_PORT"]


def test_a_close_name_is_offered_and_a_distant_one_is_not() -> None:
    assert close_name("KITE_PROT", ["KITE_PORT", "KITE_HOST"], "KITE_") == "; did you mean KITE_PORT?"
    assert close_name("KITE_ZZZ", ["KITE_PORT", "KITE_HOST"], "KITE_") == "."


@settings(deadline=None)
@given(some.dictionaries(some.sampled_from(["KITE_PORT", "KITE_HOST", "KITE_TRUSTED"]), some.text(max_size=20)))
def test_no_value_gets_anything_but_settings_or_a_sentence(environ: dict[str, str]) -> None:
    try:
        outcome: object = serve(**environ)
    except BadSettings as error:
        outcome = str(error)
    assert isinstance(outcome, Service) or str(outcome).endswith(".")
