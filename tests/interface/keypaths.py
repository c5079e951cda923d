"""The keys of JSON values as paths: {"a": [{"b": 1}]} has `a` and `a[].b`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def key_paths(value: object, before: str = "") -> set[str]:
    """Every key of a value at any depth, `[]` standing for all members of a list."""
    return set(_walk(value, before))


def _walk(value: object, before: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{before}.{name}" if before else str(name)
            yield path
            yield from _walk(inner, path)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, f"{before}[]")


def schema_paths(schema: object, page: dict[str, Any], before: str = "") -> set[str]:
    """The same for a JSON schema of an OpenAPI page: the keys that values of it may have."""
    return set(_walk_schema(schema, page, before))


def _walk_schema(schema: object, page: dict[str, Any], before: str) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _walk_schema(page["components"]["schemas"][schema["$ref"].rpartition("/")[2]], page, before)
    for name, inner in schema.get("properties", {}).items():
        path = f"{before}.{name}" if before else name
        yield path
        yield from _walk_schema(inner, page, path)
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _walk_schema(inner, page, before)
    yield from _walk_schema(schema.get("items"), page, f"{before}[]")
