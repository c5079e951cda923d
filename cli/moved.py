"""Names of commands and configs that moved out of the programs, so that an old name is answered with the new one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

_RECIPE = "recipes/limrank_mini"
MOVED: Mapping[str, str] = {
    "limrank-synth import medquad": "python -m recipes.limrank_mini import",
    "limrank-eval traces": "python -m recipes.limrank_mini traces",
    "limrank-eval mini": "python -m recipes.limrank_mini table",
    **{
        f"limrank-train --config {name}": f"limrank-train --config {_RECIPE}/configs/{name}.yaml"
        for name in (f"limrank-mini-{run}" for run in ("traces", "both", "more", "own", "near", "ce"))
    },
}


def moved(program: str, arguments: Sequence[str], instead: Collection[str] = ()) -> str | None:
    """The sentence that names the new command where `arguments` begin with an old one of `program`; else None.

    The words of an old command after its first may also stand further back, unless one of `instead`, which the program
    still knows, is among the arguments: `import --depth 9 medquad` has moved, `import beir medquad` has not.
    """
    for old, new in MOVED.items():
        name, first, *others = old.split()
        if name != program or arguments[:1] != [first]:
            continue
        begins = list(arguments[1 : 1 + len(others)]) == others
        if begins or (set(others) <= set(arguments) and not set(instead) & set(arguments)):
            return f"`{old}` is now `{new}`, run from the root of the repository."
    return None
