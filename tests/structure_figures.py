"""Figures on the structure of the code, to compare before and after a change: `python -m tests.structure_figures`.

Import graphs are grimp's: imports inside functions and under TYPE_CHECKING count. Strings that name a module of the
same program, such as "service.engines:load", count as imports where circles are looked for.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).parent.parent
ONE_MODEL = re.compile(r"medquad|limrank[-_]mini", re.IGNORECASE)
Edges = Mapping[str, set[str]]


def main() -> None:
    """Print the figures of the packages that the arguments name (default: those of the wheel) as JSON."""
    parser = argparse.ArgumentParser(description="Print figures on the structure of the code as JSON.")
    parser.add_argument("packages", nargs="*", help="top-level packages; default: those of the wheel")
    packages = parser.parse_args().packages or product_packages()
    print(json.dumps(figures(packages), indent=1))


def product_packages() -> list[str]:
    """The packages that the wheel holds, by pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def figures(packages: Iterable[str]) -> dict[str, Any]:
    """All figures of the packages. Files that are only `__init__.py` are counted apart."""
    names = list(packages)
    files = [path for name in names for path in sorted((ROOT / name).rglob("*.py"))]
    modules = [path for path in files if path.name != "__init__.py"]
    folder, most = Counter(path.parent for path in files).most_common(1)[0]
    naming = [path for path in files if ONE_MODEL.search(path.read_text(encoding="utf-8"))]
    return {
        "packages": names,
        "programs": {name: _program(name) for name in names},
        "largest_folder": {
            "folder": _shown(folder),
            "files": most,
            "without_init": sum(path.parent == folder for path in modules),
        },
        "naming_medquad_or_limrank_mini": {
            "files": len(naming),
            "without_init": sum(path.name != "__init__.py" for path in naming),
            "list": [_shown(path) for path in naming],
        },
        "files": {"all": len(files), "without_init": len(modules)},
        "lines": {"all": _lines(files), "without_init": _lines(modules)},
        "lines_of_tests": _lines((ROOT / "tests").rglob("*.py")),
    }


def _program(name: str) -> dict[str, Any]:
    imports = _imports(name)
    chain = longest_chain(imports)
    named = {module: imports[module] | named_in_strings(module, imports) for module in imports}
    return {
        "longest_chain": len(chain),
        "chain": chain,
        "circles": [group for group in components(imports) if len(group) > 1],
        "circles_with_strings": [group for group in components(named) if len(group) > 1],
    }


def _imports(package: str) -> dict[str, set[str]]:
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}


def named_in_strings(module: str, known: Iterable[str]) -> set[str]:
    """Modules of the same program that a string of this module names by their whole path, docstrings apart."""
    path = ROOT / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    modules = set(known)
    return {target for text in texts if (target := _module_in(text, modules)) and target != module}


def _module_in(text: str, modules: set[str]) -> str | None:
    """The module that a dotted path (of a module, or of something in one) names."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+(:\w+)?", text):
        return None
    name = text.partition(":")[0]
    while "." in name:
        if name in modules:
            return name
        name = name.rpartition(".")[0]
    return None


def longest_chain(imports: Edges) -> list[str]:
    """A longest path through the import graph, each circle taken as one step, from the top down."""
    groups = components(imports)
    group_of = {module: number for number, group in enumerate(groups) for module in group}
    below = {
        number: {group_of[target] for module in group for target in imports[module]} - {number}
        for number, group in enumerate(groups)
    }
    path: dict[int, list[str]] = {}
    for number in TopologicalSorter(below).static_order():
        rest = max((path[target] for target in sorted(below[number])), key=len, default=[])
        path[number] = [" + ".join(groups[number]), *rest]
    return max(path.values(), key=len)


def components(imports: Edges) -> list[list[str]]:
    """The strongly connected components of a graph: modules that reach each other, sorted."""
    reach = {module: _reachable(module, imports) for module in imports}
    groups = {tuple(sorted(other for other in reach[module] if module in reach[other])) for module in imports}
    return [list(group) for group in sorted(groups)]


def _reachable(start: str, imports: Edges) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = imports[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found


def _lines(files: Iterable[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") for path in files)


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    main()
