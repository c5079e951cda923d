"""Runs in .venv-helm: holds objects against Kubernetes' schemas (strict) and, custom ones, against those given.

Standard input: {"versions": ["1.30", ...], "custom": {kind: schema}, "objects": [...]}.
Standard output: [[kind and name, version, complaint], ...].
"""

# mypy: disable-error-code="import-not-found, import-untyped"
from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
from kubernetes_validate import utils

# The library reads the same definitions, some megabytes, from disk for every object.
utils.schema_contents = functools.cache(utils.schema_contents)


def complaints(obj: dict[str, Any], versions: list[str], custom: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Version and complaint of each schema that the object does not meet."""
    if obj["kind"] in custom:
        for error in jsonschema.Draft202012Validator(custom[obj["kind"]]).iter_errors(obj):
            yield "custom", f"{error.json_path}: {error.message}"
        return
    for version in versions:
        try:
            kubernetes_validate.validate(obj, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield version, error.message


def main() -> None:
    """Answer for everything on standard input."""
    case = json.load(sys.stdin)
    found = [
        (f"{obj['kind']} {obj['metadata']['name']}", *complaint)
        for obj in case["objects"]
        for complaint in complaints(obj, case["versions"], case["custom"])
    ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
