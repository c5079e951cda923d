"""Which series an expression asks for: enough of PromQL to find its selectors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.helm.chart import CHART

RULE_FILES = sorted((CHART / "files" / "rules").glob("*.yaml"))
DASHBOARD = CHART / "files" / "dashboards" / "limrank.json"
# Labels that Prometheus gives to a target; they are not the service's.
OF_TARGETS = {"namespace", "job", "instance"}
# Metrics of others: Prometheus' own, and those of NVIDIA's DCGM exporter.
FOREIGN = re.compile(r"up|DCGM_FI_\w+")

_LISTS_OF_LABELS = re.compile(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_TIMES = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR = re.compile(r'(?<![\w:$])([a-zA-Z_:][\w:]*)(?![\w:])(?!\s*\()\s*(\{(?:[^}"]|"[^"]*")*\})?')
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_WORDS = {"and", "or", "unless", "bool", "inf", "nan"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric's name and what is asked of its labels: (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def finds(self, labels: dict[str, str]) -> bool:
        """True when a series of that name with these labels is meant, whatever its target."""
        return all(_holds(labels.get(label, ""), *rest) for label, *rest in self.matchers if label not in OF_TARGETS)


def _holds(found: str, operator: str, wanted: str) -> bool:
    match operator:
        case "=":
            return found == wanted
        case "!=":
            return found != wanted
        case "=~":
            return re.fullmatch(wanted, found) is not None
        case _:
            return re.fullmatch(wanted, found) is None


def selectors(expression: str) -> list[Selector]:
    """Every selector of the expression, in order."""
    text = _TIMES.sub(" ", _LISTS_OF_LABELS.sub(" ", expression))
    found = [(match[1], match[2] or "") for match in _SELECTOR.finditer(text) if match[1] not in _WORDS]
    return [Selector(name, tuple(_MATCHER.findall(braces))) for name, braces in found]


def rules() -> list[dict[str, Any]]:
    """Every recording and alerting rule of the chart."""
    return [
        rule for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
    ]


def rule_expressions() -> list[tuple[str, str]]:
    """Name and expression of every rule."""
    return [(rule["alert"] if "alert" in rule else rule["record"], rule["expr"]) for rule in rules()]


def panels() -> Iterator[dict[str, Any]]:
    """Every panel of the dashboard, those in collapsed rows among them, with the row's title under `row`."""
    row = ""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel | {"row": row}
            continue
        row = panel["title"]
        yield from (inner | {"row": row} for inner in panel["panels"])


def panel_expressions() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard, its variables not yet put in."""
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
