"""What the chart passes to the server is what the server reads: names, flags, values and paths."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.paths import LIVE_PATHS, METRICS_PATH, READY_PATHS
from service.sections import PREFIX
from service.settings import Settings, from_command_line
from tests.helm.chart import (
    CHART,
    ROOT,
    VALUES,
    Object,
    environment,
    find,
    render,
    rendered,
    require_helm,
    server,
    server_pod,
)
from tests.waiting import PATIENCE

# Knobs that no value stands for, and why: the image says where it carries the embedded model, prepared.
WITHOUT_VALUE = {"cache_dir"}


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_helm()


def settings_of(objects: tuple[Object, ...]) -> Settings:
    """What the server makes of its arguments and its environment; it refuses names and values it does not know."""
    return from_command_line(server(objects).get("args", []), environment(objects))


@pytest.mark.parametrize(("name", "gpus"), [("gpu", 1), ("tensor-parallel", 4), ("air-gapped", 1)])
def test_an_example_uses_the_gpus_that_it_asks_for(name: str, gpus: int) -> None:
    settings = settings_of(rendered(name))
    assert (settings.engine, settings.tensor_parallel_size * settings.data_parallel_size) == ("vllm", gpus)


@pytest.mark.parametrize("name", VALUES)
def test_the_server_takes_what_it_is_given(name: str) -> None:
    objects = rendered(name)
    assert server(objects)["command"] == ["limrank-serve"]
    settings = settings_of(objects)
    ports = {port["name"]: port["containerPort"] for port in server(objects)["ports"]}
    assert ports["http"] == settings.port
    assert ports.get("metrics") == settings.metrics_port
    assert not settings.log_texts


def test_every_knob_of_the_server_has_a_value() -> None:
    """A new setting of the service fails here: give it a line in _settings.tpl, values.yaml and values.schema.json."""
    text = (CHART / "templates" / "_settings.tpl").read_text()
    knobs = {line.split('"')[1] for line in text.splitlines() if line.startswith(f'  "{PREFIX}')}
    assert knobs == {PREFIX + name.upper() for name in Settings.model_fields if name not in WITHOUT_VALUE}


def test_no_other_name_of_ours_is_rendered() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in VALUES:
        assert {each for each in environment(rendered(name)) if each.startswith(PREFIX)} <= known


def test_the_defaults_are_the_programs_own_or_stated_here() -> None:
    ours, chart = Settings(), settings_of(rendered("default"))
    differs = {name for name in Settings.model_fields if getattr(ours, name) != getattr(chart, name)}
    assert differs == {
        *("host", "metrics_port", "keys_file", "threads", "request_timeout_seconds", "drain_delay", "drain_budget"),
    }


def test_values_arrive_as_they_were_meant() -> None:
    settings = settings_of(rendered("reasoning"))
    assert (settings.mode, settings.default_reasoning_tokens, settings.max_reasoning_tokens) == ("reasoning", 512, 2048)
    assert (settings.engine, settings.dtype, settings.threads, settings.window) == ("transformers", "float32", 4, 32)
    assert (settings.max_body_bytes, settings.max_queued_tokens) == (4194304, 123456789)
    assert (settings.max_held_bytes, settings.body_timeout_seconds) == (67108864, 7.5)
    assert settings.max_connections == 500
    assert (settings.drain_delay, settings.drain_budget, settings.request_timeout_seconds) == (12, 300, 300)
    assert (settings.max_tokens_per_doc, settings.documents_per_minute, settings.max_documents) == (1024, 6000, 500)


def test_further_flags_reach_the_server() -> None:
    assert server(rendered("everything"))["args"] == ["--cache-dir", "/cache/limrank"]
    assert settings_of(rendered("everything")).cache_dir == Path("/cache/limrank")


def test_models_are_named_as_the_server_finds_them() -> None:
    downloaded = settings_of(rendered("existing-secrets"))
    assert (downloaded.model, downloaded.served_name) == ("jhu-clsp/rank1-0.5b", "rank1")
    assert downloaded.model_revision == "8f1d4e0c2b7a9635d1e4f0c8b2a796351d4e0f8c"
    assert downloaded.model_aliases == ("rank1", "reranker")
    assert settings_of(rendered("tensor-parallel")).model == "/models/limrank-32b"
    assert settings_of(rendered("default")).model is None


def test_threads_are_the_container_s_cores_and_not_the_node_s() -> None:
    assert settings_of(rendered("default")).threads == 2
    assert settings_of(rendered("everything")).threads == 3  # of 2500m, rounded up


def test_without_keys_the_server_is_told_so() -> None:
    assert settings_of(rendered("anonymous")).allow_anonymous
    assert settings_of(rendered("anonymous")).host == "::"
    assert not settings_of(rendered("default")).allow_anonymous


def test_keys_lie_where_the_server_looks() -> None:
    for name, secret, key in [
        ("default", "limrank-api-keys", "keys.toml"),
        ("existing-secrets", "search-keys", "reranker.toml"),
    ]:
        objects = rendered(name)
        [mount] = [each for each in server(objects)["volumeMounts"] if each["name"] == "keys"]
        [volume] = [each for each in server_pod(objects)["spec"]["volumes"] if each["name"] == "keys"]
        assert "subPath" not in mount  # a subPath never changes in a running pod
        assert volume["secret"]["secretName"] == secret
        assert volume["secret"]["items"] == [{"key": key, "path": "keys.toml"}]
        assert settings_of(objects).keys_file == Path(mount["mountPath"]) / "keys.toml"


@pytest.mark.parametrize("name", VALUES)
def test_probes_ask_what_the_server_answers(name: str) -> None:
    container = server(rendered(name))
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths["startup"] in LIVE_PATHS
    assert paths["liveness"] in LIVE_PATHS
    assert paths["readiness"] in READY_PATHS
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"http"}


def test_prometheus_asks_where_the_metrics_are() -> None:
    [endpoint] = find(rendered("monitoring"), "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", METRICS_PATH)
    objects = render("--set", "metrics.port=0,metrics.serviceMonitor.enabled=true")
    [endpoint] = find(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], settings_of(objects).metrics_port) == ("http", None)


@pytest.mark.parametrize("name", VALUES)
def test_the_drain_fits_into_the_grace_period(name: str) -> None:
    objects = rendered(name)
    settings, pod = settings_of(objects), server_pod(objects)["spec"]
    sleep = server(objects).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["terminationGracePeriodSeconds"] > sleep + settings.drain_delay + settings.drain_budget
    assert settings.drain_budget >= settings.request_timeout_seconds  # else calls are cut, and the notes warn of it


def test_the_download_runs_the_server_s_own_code(tmp_path: Path) -> None:
    """The very command of the init container, offline, on a hub cache that holds the model."""
    [container] = server_pod(rendered("existing-secrets"))["spec"]["initContainers"]
    name, revision = container["args"][1:]
    snapshot = tmp_path / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, *container["command"][1:], *container["args"]],
        env={"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "PATH": "/usr/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (container["command"], done.returncode, done.stdout.strip()) == (["python", "-c"], 0, str(snapshot)), done


def test_the_server_looks_where_the_download_wrote() -> None:
    objects = rendered("existing-secrets")
    [container] = server_pod(objects)["spec"]["initContainers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert variables["HF_HOME"] == environment(objects)["HF_HOME"]
    assert variables["HF_ENDPOINT"] == "https://hub.example.com:8443/mirror"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/models", "/tmp"}


def test_only_the_download_sees_the_token() -> None:
    objects = rendered("existing-secrets")
    [container] = server_pod(objects)["spec"]["initContainers"]
    [token] = [entry for entry in container["env"] if entry["name"] == "HF_TOKEN"]
    assert token["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert "HF_TOKEN" not in json.dumps(server(objects))


@pytest.mark.parametrize("name", VALUES)
def test_the_server_itself_never_goes_to_a_hub(name: str) -> None:
    variables = environment(rendered(name))
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DO_NOT_TRACK", "VLLM_DO_NOT_TRACK", "VLLM_NO_USAGE_STATS")
    assert {variables[each] for each in offline} == {"1"}


@pytest.mark.parametrize("name", VALUES)
def test_every_cache_lies_on_a_writable_volume(name: str) -> None:
    variables, container = environment(rendered(name)), server(rendered(name))
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    for each in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert any(variables[each] == path or variables[each].startswith(f"{path}/") for path in writable), each


def test_a_changed_setting_rolls_the_pods_and_nothing_else_does() -> None:
    def checksum(*arguments: str) -> Any:
        return server_pod(render(*arguments))["metadata"]["annotations"]["checksum/config"]

    assert checksum() == checksum("--set", "replicaCount=3,service.port=81")
    assert checksum() != checksum("--set", "limits.maxDocuments=9")


def test_the_chart_names_every_value_it_uses() -> None:
    """The examples are values of this chart, and each says what it is for."""
    for path in (CHART / "examples").glob("*.yaml"):
        assert path.read_text().startswith("# "), path
        assert isinstance(yaml.safe_load(path.read_text()), dict)
