from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import BadSettings
from cli.values import is_loopback
from service.ranking import Mode
from service.sections import PREFIX
from service.settings import Settings, from_command_line


def refusal(*argv: str, **environ: str) -> str:
    with pytest.raises(BadSettings) as caught:
        from_command_line(argv, environ)
    return str(caught.value)


def test_defaults_are_those_of_the_documentation() -> None:
    settings = from_command_line([], {})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.max_documents == 10_000
    assert settings.max_body_bytes == 16 * 1024 * 1024
    assert settings.model_aliases == ("*",)
    assert settings.mode is Mode.DIRECT


def test_every_knob_has_its_flag_and_its_environment_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        from_command_line(["--help"], {})
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert field.description, name
        assert " ".join(field.description.split()) in " ".join(shown.split()).replace("- ", "-"), name


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_default_given_as_text_is_the_default(name: str) -> None:
    """What the help prints as default can be typed: no default is of a form that neither flag nor environment take."""
    default = getattr(Settings(), name)
    if default is None or default == "":
        return
    text = ",".join(default) if isinstance(default, tuple) else str(getattr(default, "value", default))
    assert getattr(from_command_line([], {PREFIX + name.upper(): text}), name) == default
    if not isinstance(default, bool):
        assert getattr(from_command_line([f"--{name.replace('_', '-')}={text}"], {}), name) == default


def test_flags_win_over_the_environment() -> None:
    environ = {"LIMRANK_PORT": "1", "LIMRANK_LOG_TEXTS": "true", "LIMRANK_MAX_BODY_BYTES": "1MiB"}
    settings = from_command_line(["--port", "2", "--no-log-texts"], environ)
    assert settings.port == 2
    assert not settings.log_texts
    assert settings.max_body_bytes == 1024 * 1024


def test_lists_are_written_with_commas() -> None:
    assert from_command_line(["--model-aliases", "a, b,"], {}).model_aliases == ("a", "b")


def test_an_empty_environment_value_counts_as_absent() -> None:
    assert from_command_line([], {"LIMRANK_KEYS_FILE": "", "LIMRANK_THREADS": " "}) == Settings()


@pytest.mark.parametrize(
    ("argv", "environ", "sentence"),
    [
        ([], {"LIMRANK_MAX_DOCUMENT": "3"}, "LIMRANK_MAX_DOCUMENT is no setting; did you mean LIMRANK_MAX_DOCUMENTS?"),
        ([], {"LIMRANK_ZZZ": "3"}, "LIMRANK_ZZZ is no setting."),
        (["--max-document", "3"], {}, "--max-document is no flag; did you mean --max-documents?"),
        (["--max-document=3"], {}, "--max-document is no flag; did you mean --max-documents?"),
        (["xyz"], {}, "xyz is no flag."),
        (["--port"], {}, "Argument --port: expected one argument"),
        (["--port", "x"], {}, "--port 'x' should be a valid integer"),
        ([], {"LIMRANK_PORT": "99999"}, "LIMRANK_PORT='99999' should be less than or equal to 65535."),
        ([], {"LIMRANK_LOG_TEXTS": "perhaps"}, "LIMRANK_LOG_TEXTS='perhaps' should be a valid boolean"),
        ([], {"LIMRANK_REQUEST_TIMEOUT_SECONDS": "nan"}, "LIMRANK_REQUEST_TIMEOUT_SECONDS='nan' should be"),
        ([], {"LIMRANK_DRAIN_DELAY": "-1"}, "LIMRANK_DRAIN_DELAY='-1' should be greater than or equal to 0."),
        ([], {"LIMRANK_MODE": "fast"}, "LIMRANK_MODE='fast' should be 'direct', 'reasoning' or 'adaptive'."),
        ([], {"LIMRANK_OTLP_ENDPOINT": "collector:4318"}, "LIMRANK_OTLP_ENDPOINT='collector:4318'"),
        ([], {"LIMRANK_ROOT_PATH": "models"}, "LIMRANK_ROOT_PATH='models'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(argv: list[str], environ: dict[str, str], sentence: str) -> None:
    message = refusal(*argv, **environ)
    assert message.startswith(sentence)
    assert message.endswith(".")
    assert "\n" not in message


def test_every_wrong_value_is_named_at_once() -> None:
    assert len(refusal("--port", "x", "--engine", "y", LIMRANK_THREADS="0").splitlines()) == 3


def test_what_kubernetes_injects_for_services_is_ignored() -> None:
    injected = {
        "LIMRANK_SERVICE_HOST": "10.0.0.1",
        "LIMRANK_SERVICE_PORT": "8080",
        "LIMRANK_SERVICE_PORT_HTTP": "8080",
        "LIMRANK_PORT": "tcp://10.0.0.1:8080",
        "LIMRANK_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "LIMRANK_PORT_8080_TCP_PROTO": "tcp",
        "LIMRANK_PORT_8080_TCP_PORT": "8080",
        "LIMRANK_PORT_8080_TCP_ADDR": "10.0.0.1",
        # of Services named limrank-metrics and limrank-gpu
        "LIMRANK_METRICS_PORT": "tcp://10.0.0.2:9090",
        "LIMRANK_METRICS_SERVICE_HOST": "10.0.0.2",
        "LIMRANK_GPU_PORT_53_UDP_ADDR": "10.0.0.3",
    }
    assert from_command_line([], injected) == Settings()
    assert from_command_line([], injected | {"LIMRANK_PORT": "81"}).port == 81


def test_names_of_the_other_programs_and_of_the_tests_are_left_alone() -> None:
    theirs = {"LIMRANK_SYNTH_X": "1", "LIMRANK_TRAIN_X": "1", "LIMRANK_TEST_CACHE": "x", "LIMRANK_REQUIRE": "promtool"}
    assert from_command_line([], theirs | {"PATH": "x", "limrank_port": "1"}) == Settings()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org", "::ffff:127.0.0.1", "localhost.example"]
)
def test_an_address_that_others_reach_needs_keys_or_a_word(host: str, tmp_path: Path) -> None:
    message = refusal("--host", host)
    assert message.startswith(f"--host {host!r} can be reached by others")
    assert "--allow-anonymous" in message
    assert from_command_line(["--host", host, "--allow-anonymous"], {}).host == host
    assert from_command_line(["--host", host, "--keys-file", str(tmp_path / "keys")], {}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert from_command_line(["--host", host], {}).host == host


@given(st.ip_addresses())
def test_loopback_is_what_ipaddress_says(address: object) -> None:
    assert is_loopback(str(address)) == address.is_loopback  # type: ignore[attr-defined]


def test_contradictions_are_refused() -> None:
    assert "contradict" in refusal("--keys-file", "x", "--allow-anonymous")
    assert "largest body would always be refused" in refusal("--max-held-bytes", "1MiB")
    assert "exceeds" in refusal("--default-reasoning-tokens", "9", "--max-reasoning-tokens", "8")


def test_a_lower_cap_lowers_the_default_budget() -> None:
    assert from_command_line(["--max-reasoning-tokens", "8"], {}).reasoning_tokens == 8


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([PREFIX + name.upper() for name in Settings.model_fields]), st.text(max_size=30))
)
def test_no_environment_value_gets_anything_but_settings_or_a_sentence(environ: dict[str, str]) -> None:
    try:
        outcome: object = from_command_line([], environ)
    except BadSettings as error:
        outcome = str(error)
    assert isinstance(outcome, Settings) or str(outcome).endswith(".")


def test_settings_do_not_read_the_environment_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMRANK_PORT", "1")
    assert Settings().port == 8080


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1


def test_the_parser_needs_no_abbreviations() -> None:
    assert refusal("--max-doc", "3").startswith("--max-doc is no flag")
