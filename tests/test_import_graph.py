"""The import graph as a whole: no circle anywhere, and no folder that is too full to find a file in."""

from __future__ import annotations

from collections import Counter

import grimp
import pytest

from tests.structure_figures import ROOT, components, named_in_strings, product_packages

MOST_MODULES = 14  # of one folder, its __init__.py apart


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module imports: imports inside functions, under TYPE_CHECKING and class paths in strings count."""
    graph = grimp.build_graph(*product_packages(), cache_dir=None)
    direct = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    return {module: direct[module] | named_in_strings(module, direct) for module in direct}


def test_no_circle_anywhere(imports: dict[str, set[str]]) -> None:
    assert [group for group in components(imports) if len(group) > 1] == []


def test_no_folder_is_crowded() -> None:
    files = [path for package in product_packages() for path in (ROOT / package).rglob("*.py")]
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in files if path.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_a_circle_through_a_string_is_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert [group for group in components(edges) if len(group) > 1] == [["a", "b", "c"]]
