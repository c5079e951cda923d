"""Commands and configs that moved out of the programs: maps an old name to a sentence that names the new one."""

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
    """The sentence that names the new command when `arguments` begin with a moved one of `program`; otherwise None.

    The words of a moved command after its first may also come later, unless `arguments` contain one of `instead`, which
    are subcommands that still exist: `import --depth 9 medquad` has moved, `import beir medquad` has not.
    """
    for old, new in MOVED.items():
        name, first, *others = old.split()
        if name != program or arguments[:1] != [first]:
            continue
        begins = list(arguments[1 : 1 + len(others)]) == others
        if begins or (set(others) <= set(arguments) and not set(instead) & set(arguments)):
            return f"`{old}` is now `{new}`, run from the root of the repository."
    return None
