"""Values that are wrong or contradict each other are refused, with a message that names the value and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, helm, require_helm, template

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
HUB = "model.name=owner/name"
AS_IT_IS = "passed to Kubernetes as it is"


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_helm()


# What values.schema.json says: the path of the value, and what is wrong with it.
REFUSED_BY_SCHEMA = [
    ("replicaCuont=3", "Additional property replicaCuont is not allowed"),
    ("model.nmae=x", "model: Additional property nmae is not allowed"),
    ("metrics.serviceMonitor.intervall=5s", "metrics.serviceMonitor: Additional property intervall is not allowed"),
    ("resources.limit.memory=1Gi", "resources: Additional property limit is not allowed"),
    ("startupProbe.failureTreshold=3", "startupProbe: Additional property failureTreshold is not allowed"),
    ("tolerations[0].efect=NoSchedule", "tolerations.0: Additional property efect is not allowed"),
    ("engine.name=vlm", "engine.name must be one of the following"),
    ("scoring.mode=fast", "scoring.mode must be one of the following"),
    ("replicaCount=two", "replicaCount: Invalid type. Expected: integer, given: string"),
    ("limits.maxDocuments=0", "limits.maxDocuments: Must be greater than or equal to 1"),
    ("limits.maxBodyBytes=16 megabytes", "limits.maxBodyBytes: Does not match pattern"),
    ("terminationGracePeriodSeconds=10", "terminationGracePeriodSeconds: Must be greater than or equal to 30"),
    ("image.digest=latest", "image.digest: Does not match pattern"),
    ("persistence.size=plenty", "persistence.size: Does not match pattern"),
    ("containerPort=80", "containerPort: Must be greater than or equal to 1024"),
    ("podSecurityContext.runAsUser=0", "podSecurityContext.runAsUser: Must be greater than or equal to 1"),
    ("podSecurityContext.runAsNonRoot=false", "podSecurityContext.runAsNonRoot does not match: true"),
    ("securityContext.allowPrivilegeEscalation=true", "securityContext.allowPrivilegeEscalation does not match: false"),
    ("keda.minReplicaCount=0", "keda.minReplicaCount: Must be greater than or equal to 1"),
    ("tracing.otlpEndpoint=collector:4318", "tracing.otlpEndpoint: Does not match pattern"),
    ("model.aliases=", "model.aliases: Invalid type. Expected: array"),
    ("tracing.sampleRatio=1.5", "tracing.sampleRatio: Does not match pattern"),
    ("rootPath=models", "rootPath: Does not match pattern"),
    ("corsOrigins={app.example.com}", "corsOrigins.0: Does not match pattern"),
    ("podLabels.app\\.kubernetes\\.io/name=x", "podLabels: Property name of"),
]

# What templates/_checks.tpl says.
CONTRADICTIONS = [
    ("terminationGracePeriodSeconds=84", "+ 10 for closing is 85; raise it to that"),
    ("shutdown.drainBudgetSeconds=66", "terminationGracePeriodSeconds 90 is too short"),
    ("shutdown.drainDelaySeconds=16", "is 91; raise it"),
    ("lifecycle.preStopSleepSeconds=30", "lifecycle.preStopSleepSeconds 30 + shutdown.drainDelaySeconds 10"),
    ("progressDeadlineSeconds=1800", "must exceed the start-up budget of 1800 s"),
    ("strategy.rollingUpdate.maxSurge=0", "no rollout could ever proceed"),
    (f"model.path=x,{HUB}", 'model.name "owner/name" and model.path "x" are both set'),
    ("model.revision=main", 'model.revision "main" belongs to a hub id'),
    ("modelDownload.enabled=true", "modelDownload.enabled needs a hub id"),
    (f"{HUB}", "the serving container never downloads: set modelDownload.enabled"),
    (
        f"{HUB},modelDownload.enabled=true,persistence.readOnly=true",
        "cannot write to a claim with persistence.readOnly",
    ),
    ("model.path=x", "name it in persistence.existingClaim"),
    ("persistence.existingClaim=c", "persistence.enabled is false; enable it"),
    ("scoring.defaultReasoningBudget=200000", "exceeds scoring.maxReasoningBudget 100000"),
    ("scoring.defaultReasoningTokens=2048", "exceeds scoring.maxReasoningTokens 1024"),
    ("autoscaling.enabled=true,keda.enabled=true", "would both scale the same Deployment"),
    (
        "autoscaling.enabled=true,autoscaling.minReplicas=9",
        "autoscaling.minReplicas 9 exceeds autoscaling.maxReplicas 4",
    ),
    ("keda.enabled=true,keda.minReplicaCount=9", "keda.minReplicaCount 9 exceeds keda.maxReplicaCount 4"),
    ("keda.enabled=true", "needs keda.prometheus.serverAddress"),
    (
        "keda.enabled=true,keda.prometheus.serverAddress=http://p:9090",
        "its default asks for the job that metrics.serviceMonitor gives, which is off",
    ),
    (
        r"resources.limits.nvidia\.com/gpu=4",
        "has nvidia.com/gpu: 4, and engine.vllm.tensorParallelSize 1 x dataParallelSize 1 uses 1; make them equal",
    ),
    ("persistence.enabled=true,replicaCount=2", "[ReadWriteOnce] lets one node mount the claim"),
    ("persistence.enabled=true,autoscaling.enabled=true", "use ReadWriteMany, or persistence.enabled=false"),
    ("podDisruptionBudget.minAvailable=1", "minAvailable 1 of 1 replicas lets no pod go"),
    ("podDisruptionBudget.minAvailable=50%", "minAvailable 50% of 1 replicas lets no pod go"),
    ("podDisruptionBudget.minAvailable=60%,replicaCount=2", "minAvailable 60% of 2 replicas lets no pod go"),
    ("podDisruptionBudget.maxUnavailable=0", 'maxUnavailable "0" lets no pod go'),
    ("auth.existingSecret=", "auth.enabled needs auth.existingSecret"),
    ("corsOrigins={*}", "name the origins of your pages"),
    ("metrics.port=80", "metrics.port 80 is a privileged port"),
    ("metrics.port=8080", "metrics.port 8080 is also containerPort"),
    ("ingress.enabled=true", "needs at least one entry in ingress.hosts"),
    ("httpRoute.enabled=true", "needs at least one gateway in httpRoute.parentRefs"),
    ("metrics.serviceMonitor.scrapeTimeout=20s", "scrapeTimeout 20s exceeds its interval 15s"),
    ("env[0].name=LIMRANK_DRAIN_BUDGET", "env must not set LIMRANK_DRAIN_BUDGET"),
    ("engine.extraArgs={--drain-budget=900}", "engine.extraArgs must not hold --drain-budget"),
    ("engine.extraArgs={--no-allow-anonymous}", "engine.extraArgs must not hold --no-allow-anonymous"),
    (
        "metrics.prometheusRule.enabled=true,metrics.prometheusRule.disabledAlerts={LimrankGoen}",
        'names "LimrankGoen", which is none of LimrankGone, ',
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED_BY_SCHEMA)
def test_the_schema_refuses(values: str, message: str) -> None:
    done = template("--set", values)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema(s)" in done.stderr
    assert message in done.stderr
    assert helm("lint", "--strict", CHART, "--set", values).returncode != 0


@pytest.mark.parametrize(("values", "message"), CONTRADICTIONS)
def test_the_checks_refuse(values: str, message: str) -> None:
    done = template("--set", values)
    assert done.returncode != 0
    assert "execution error" in done.stderr
    assert message in done.stderr


def test_the_least_grace_period_that_is_long_enough_is_taken() -> None:
    assert template("--set", "terminationGracePeriodSeconds=85").returncode == 0


def test_the_schema_is_in_the_dialect_that_all_helms_read() -> None:
    """Helm 3 up to 3.17 reads draft-07 at most; what Helm 4 reads includes it."""
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_the_schema_is_closed_but_for_what_is_named() -> None:
    for path, node in _objects(SCHEMA, "values"):
        closed = node.get("additionalProperties") is False
        strings = isinstance(node.get("additionalProperties"), dict) and "properties" not in node
        passed_on = "$comment" in node and "properties" not in node
        assert closed or strings or passed_on, path


def test_every_value_has_a_default_and_a_schema() -> None:
    assert _names(DEFAULTS) == set(SCHEMA["properties"]) - {"global"}
    for name, default in DEFAULTS.items():
        _same_names(name, default, SCHEMA["properties"][name])


def _same_names(path: str, default: Any, schema: Any) -> None:
    """Each name of the schema stands in values.yaml, where an operator looks for it, and the other way round."""
    if "properties" not in schema or not isinstance(default, dict):
        return
    known = set(schema["properties"])
    optional = known - _names(default)
    assert _names(default) <= known, path
    assert not optional or path in OPEN_SECTIONS, (path, optional)
    for name, value in default.items():
        _same_names(f"{path}.{name}", value, schema["properties"][name])


# Sections that are parts of a pod or of an autoscaler: what Kubernetes offers there is more than values.yaml shows.
OPEN_SECTIONS = {
    *("affinity", "podSecurityContext", "podSecurityContext.seccompProfile", "securityContext"),
    *("securityContext.capabilities", "autoscaling.behavior", "keda.fallback"),
}


def _names(mapping: dict[str, Any]) -> set[str]:
    return set(mapping)


def _objects(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every schema in the schema that describes an object."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield path, node
        for name, value in node.items():
            yield from _objects(value, f"{path}.{name}")
    elif isinstance(node, list):
        for item in node:
            yield from _objects(item, path)
