"""Which command is meant, what is printed, and with which code a program ends."""

from __future__ import annotations

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from cli.commands import Subcommand, main, run_command
from cli.environment import Program
from cli.errors import BadInput, BadSettings, CommandError, DiskFull, Interrupted
from cli.settings import Command

PROGRAM = Program("kite", "KITE_")
ERRORS: list[tuple[type[CommandError], int]] = [
    (CommandError, 1),
    (BadSettings, 2),
    (BadInput, 2),
    (DiskFull, 1),
    (Interrupted, 130),
]


class Fly(Command):
    """Let it fly.

    The rest of this text is not in the list of commands.
    """

    model_config = SettingsConfigDict(env_prefix="KITE_")

    height: int = Field(default=1, description="how high")


class Land(Command):
    """Let it land."""

    model_config = SettingsConfigDict(env_prefix="KITE_")


def fly(settings: Fly) -> str:
    for error, code in ERRORS:
        if settings.height == -code:
            raise error(f"{settings.height} is too low.")
    return f"It flies {settings.height} high."


COMMANDS = (Subcommand("fly", Fly, fly), Subcommand("land", Land, lambda settings: None))


def test_a_command_is_run_with_its_settings_and_what_it_returns_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(PROGRAM, COMMANDS, ["fly", "--height", "3"]) == 0
    assert capsys.readouterr() == ("It flies 3 high.\n", "")
    assert main(PROGRAM, COMMANDS, ["land"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], [], ["dance"], ["dance", "--help"]])
def test_without_a_command_the_commands_are_listed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = argv in (["--help"], ["-h"], ["help"])
    assert main(PROGRAM, COMMANDS, argv) == (0 if asked else 2)
    out, err = capsys.readouterr()
    assert (out if asked else err) == (
        "usage: kite COMMAND ... (COMMAND --help lists its settings)\n\n  fly   Let it fly.\n  land  Let it land.\n"
    )
    assert (err if asked else out) == ""


@pytest.mark.parametrize(("error", "code"), {code: (error, code) for error, code in ERRORS}.values())
def test_an_error_is_a_sentence_and_its_code(
    error: type[CommandError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(PROGRAM, COMMANDS, ["fly", "--height", str(-code)]) == code
    assert capsys.readouterr() == ("", f"kite fly: {-code} is too low.\n")
    assert run_command("kite", PROGRAM, COMMANDS[0], ["--height", str(-code)], COMMANDS) == code
    assert capsys.readouterr().err == f"kite: {-code} is too low.\n"
    assert issubclass(error, CommandError)


def test_settings_that_cannot_be_are_an_error_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(PROGRAM, COMMANDS, ["fly", "--height", "x"]) == 2
    assert capsys.readouterr().err.startswith("kite fly: 'height' is 'x': Input should be a valid integer")
    monkeypatch.setenv("KITE_HEIGHT", "1")
    assert main(PROGRAM, COMMANDS, ["land"]) == 0, "the setting of another command"


def test_what_is_no_error_of_ours_passes() -> None:
    def fall(settings: Fly) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main(PROGRAM, [Subcommand("fall", Fly, fall)], ["fall"])


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_the_common_errors_have_their_codes(error: type[CommandError], code: int) -> None:
    assert error.exit_code == code
